#pragma once

// What the bindings of all kernels share: the checked arguments of a call and access to arrays.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dispatch/kernels.h"

namespace pyrec {

namespace py = pybind11;

// One call of a kernel from Python: arrays are checked against what the kernel will touch, so that
// no call can read or write outside them.
class Call {
 public:
  Call(const Kernels& kernels, std::string name, const py::args& arguments, py::object out)
      : kernels(kernels), name_(std::move(name)), arguments_(arguments), out_(std::move(out)) {}

  const Kernels& kernels;

  void expect_arguments(std::size_t count) const;

  py::object argument(std::size_t index) const { return arguments_[index]; }

  template <class T>
  py::array array(std::size_t index, py::ssize_t rank) const {
    return checked<T>(argument(index), rank, "argument " + std::to_string(index));
  }

  // A C-contiguous array of any rank.
  template <class T>
  py::array flat(std::size_t index) const {
    return contiguous(array<T>(index, -1), index);
  }

  template <class T>
  py::array flat(std::size_t index, py::ssize_t rank) const {
    return contiguous(array<T>(index, rank), index);
  }

  template <class T>
  std::optional<py::array> optional_vector(std::size_t index, py::ssize_t size) const {
    if (argument(index).is_none()) return std::nullopt;
    py::array vector = flat<T>(index, 1);
    expect(vector.size() == size, "argument " + std::to_string(index) + " has a wrong size");
    return vector;
  }

  // One row for all or each of the rows of a matrix.
  template <class T>
  std::optional<py::array> optional_rows(std::size_t index, py::ssize_t rows,
                                         py::ssize_t width) const {
    const bool matrix =
        py::isinstance<py::array>(argument(index)) && py::array(argument(index)).ndim() == 2;
    if (!matrix) return optional_vector<T>(index, width);
    py::array found = array<T>(index, 2);
    expect(found.shape(0) == rows && found.shape(1) == width,
           "argument " + std::to_string(index) + " has a wrong size");
    return found;
  }

  // The caller's output array, or a new one. Rows may be apart where the rank is 2.
  template <class T>
  py::array output(const std::vector<py::ssize_t>& shape) const {
    if (out_.is_none()) return py::array_t<T>(shape);
    py::array out = checked<T>(out_, static_cast<py::ssize_t>(shape.size()), "out");
    expect(out.writeable(), "out is read-only");
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
      expect(out.shape(static_cast<py::ssize_t>(axis)) == shape[axis], "out has a wrong shape");
    }
    return out;
  }

  template <class T>
  py::array flat_output(const std::vector<py::ssize_t>& shape) const {
    py::array out = output<T>(shape);
    expect((out.flags() & py::array::c_style) != 0, "out is not contiguous");
    return out;
  }

  // Elements between rows of a matrix whose rows are contiguous.
  std::size_t row_step(const py::array& matrix) const;

  void expect(bool condition, const std::string& problem) const {
    if (!condition) fail(problem);
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const;

  template <class T>
  py::array checked(const py::object& object, py::ssize_t rank, const std::string& what) const {
    expect(py::isinstance<py::array>(object), what + " is not an array");
    py::array array = py::reinterpret_borrow<py::array>(object);
    expect(py::dtype::of<T>().is(array.dtype()) || py::dtype::of<T>().equal(array.dtype()),
           what + " has a wrong dtype");
    expect(rank < 0 || array.ndim() == rank, what + " has a wrong rank");
    expect(reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) == 0,
           what + " is not aligned");
    return array;
  }

  py::array contiguous(py::array array, std::size_t index) const;

  std::string name_;
  const py::args& arguments_;
  py::object out_;
};

template <class T>
const T* data(const py::array& array) {
  return static_cast<const T*>(array.data());
}

template <class T>
const T* data(const std::optional<py::array>& array) {
  return array ? data<T>(*array) : nullptr;
}

template <class T>
T* mutable_data(py::array& array) {
  return static_cast<T*>(array.mutable_data());
}

std::size_t size_of(const py::array& array);
std::size_t size_of(const py::array& array, int axis);

std::vector<py::ssize_t> shape_of(const py::array& array);

// Kernels that map a contiguous array to one of the same size.
template <class From, class To>
py::object run_map(void (*kernel)(const From*, To*, std::size_t), const Call& call) {
  call.expect_arguments(1);
  const py::array x = call.flat<From>(0);
  py::array y = call.flat_output<To>(shape_of(x));
  kernel(data<From>(x), mutable_data<To>(y), size_of(x));
  return y;
}

Activation activation_of(const Call& call, const std::string& name);

}  // namespace pyrec
