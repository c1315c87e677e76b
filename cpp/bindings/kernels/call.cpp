#include "bindings/kernels/call.h"

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace pyrec {

void Call::expect_arguments(std::size_t count) const {
  if (arguments_.size() != count) {
    fail("expected " + std::to_string(count) + " arguments, got " +
         std::to_string(arguments_.size()));
  }
}

std::size_t Call::row_step(const py::array& matrix) const {
  const py::ssize_t item = matrix.itemsize();
  const py::ssize_t width = matrix.shape(1);
  if (matrix.size() == 0) return static_cast<std::size_t>(width);
  expect(width <= 1 || matrix.strides(1) == item, "a row is not contiguous");
  if (matrix.shape(0) == 1) return static_cast<std::size_t>(width);
  expect(matrix.strides(0) % item == 0 && matrix.strides(0) >= width * item, "rows overlap");
  return static_cast<std::size_t>(matrix.strides(0) / item);
}

void Call::fail(const std::string& problem) const { throw py::value_error(name_ + ": " + problem); }

py::array Call::contiguous(py::array array, std::size_t index) const {
  expect((array.flags() & py::array::c_style) != 0,
         "argument " + std::to_string(index) + " is not contiguous");
  return array;
}

std::size_t size_of(const py::array& array) { return static_cast<std::size_t>(array.size()); }

std::size_t size_of(const py::array& array, int axis) {
  return static_cast<std::size_t>(array.shape(axis));
}

std::vector<py::ssize_t> shape_of(const py::array& array) {
  return {array.shape(), array.shape() + array.ndim()};
}

Activation activation_of(const Call& call, const std::string& name) {
  const std::map<std::string, Activation> names = {{"none", Activation::kNone},
                                                   {"relu", Activation::kRelu},
                                                   {"sigmoid", Activation::kSigmoid},
                                                   {"tanh", Activation::kTanh}};
  const auto found = names.find(name);
  call.expect(found != names.end(), "unknown activation");
  return found->second;
}

}  // namespace pyrec
