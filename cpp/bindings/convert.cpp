#include "bindings/convert.h"

#include <pybind11/stl.h>

#include <string>

#include "plan/tensor_tools.h"

namespace py = pybind11;

namespace pyrec {

namespace {

constexpr DType kDTypes[] = {DType::kBool,   DType::kInt8,    DType::kInt16,   DType::kInt32,
                             DType::kInt64,  DType::kUint8,   DType::kUint16,  DType::kUint32,
                             DType::kUint64, DType::kFloat16, DType::kFloat32, DType::kFloat64};

// NumPy's letter for a family of element types.
char kind_of(DType dtype) {
  const char first = dtype_name(dtype)[0];
  return first == 'u' || first == 'i' || first == 'b' ? first : 'f';
}

DType dtype_of(const py::dtype& dtype) {
  const char kind = dtype.kind();
  const auto size = static_cast<std::size_t>(dtype.itemsize());
  if (dtype.byteorder() != '>') {
    for (DType candidate : kDTypes) {
      if (kind == kind_of(candidate) && size == item_size(candidate)) return candidate;
    }
  }
  throw OpError(ErrorKind::kDType, "expected numbers or booleans in native byte order, got " +
                                       std::string(py::str(static_cast<const py::object&>(dtype))));
}

}  // namespace

Tensor borrow_array(const py::array& array) {
  Tensor tensor;
  tensor.dtype = dtype_of(array.dtype());
  const auto size = static_cast<py::ssize_t>(item_size(tensor.dtype));
  if (array.ndim() > kMaxRank) throw OpError(ErrorKind::kShape, "expected at most 8 axes");
  for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) {
    tensor.shape.push_back(array.shape(axis));
    if (array.strides(axis) % size != 0 && array.shape(axis) > 1) {
      throw OpError(ErrorKind::kShape, "expected strides that are multiples of the element size");
    }
    tensor.strides.push_back(array.strides(axis) / size);
  }
  tensor.data = static_cast<std::byte*>(const_cast<void*>(array.data()));
  if (reinterpret_cast<std::uintptr_t>(tensor.data) % static_cast<std::size_t>(size) != 0) {
    throw OpError(ErrorKind::kShape, "expected aligned memory");
  }
  return tensor;
}

py::array copy_to_array(const Tensor& tensor) {
  checked_bytes(tensor.dtype, tensor.shape);
  std::vector<py::ssize_t> shape(tensor.shape.begin(), tensor.shape.end());
  py::array array(py::dtype(dtype_name(tensor.dtype)), shape);
  Tensor target;
  target.dtype = tensor.dtype;
  target.shape = tensor.shape;
  target.strides = contiguous_strides(tensor.shape);
  target.data = static_cast<std::byte*>(array.mutable_data());
  copy_elements(tensor, target);
  return array;
}

DType dtype_from_name(const std::string& name) {
  for (DType dtype : kDTypes) {
    if (name == dtype_name(dtype)) return dtype;
  }
  throw OpError(ErrorKind::kDType, "unknown element type " + name);
}

Attributes read_attributes(const py::dict& items) {
  Attributes attributes;
  for (const auto& [key, item] : items) {
    const auto name = key.cast<std::string>();
    if (py::isinstance<py::array>(item)) {
      const auto array = py::reinterpret_borrow<py::array>(item);
      if (array.dtype().kind() != 'U') attributes.set(name, borrow_array(array));
    } else if (py::isinstance<py::str>(item)) {
      attributes.set(name, item.cast<std::string>());
    } else if (py::isinstance<py::bytes>(item)) {
      attributes.set(name, std::string(item.cast<py::bytes>()));
    } else if (py::isinstance<py::bool_>(item) || py::isinstance<py::int_>(item)) {
      attributes.set(name, item.cast<std::int64_t>());
    } else if (py::isinstance<py::float_>(item)) {
      attributes.set(name, item.cast<double>());
    } else if (py::isinstance<py::sequence>(item)) {
      const auto sequence = py::reinterpret_borrow<py::sequence>(item);
      bool all_integers = true;
      bool any_text = false;
      for (const auto& element : sequence) {
        all_integers = all_integers && py::isinstance<py::int_>(element);
        any_text =
            any_text || py::isinstance<py::str>(element) || py::isinstance<py::bytes>(element);
      }
      if (any_text) {
        attributes.set(name, item.cast<std::vector<std::string>>());
      } else if (all_integers) {
        attributes.set(name, item.cast<std::vector<std::int64_t>>());
      } else {
        attributes.set(name, item.cast<std::vector<double>>());
      }
    }
  }
  return attributes;
}

}  // namespace pyrec
