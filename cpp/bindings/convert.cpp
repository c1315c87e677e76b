#include "bindings/convert.h"

#include <pybind11/stl.h>

#include <bit>
#include <optional>
#include <string>

#include "bindings/text_reader.h"
#include "bindings/text_tensor.h"
#include "plan/tensor_tools.h"

namespace py = pybind11;

namespace pyrec {

namespace {

// By NumPy's type number, whose C types differ between systems.
std::optional<DType> known_dtype(const py::dtype& dtype) {
  constexpr auto integer = [](std::size_t size, bool is_signed) {
    switch (size) {
      case 1:
        return is_signed ? DType::kInt8 : DType::kUint8;
      case 2:
        return is_signed ? DType::kInt16 : DType::kUint16;
      case 4:
        return is_signed ? DType::kInt32 : DType::kUint32;
      default:
        return is_signed ? DType::kInt64 : DType::kUint64;
    }
  };
  if (dtype.byteorder() == '>') return std::nullopt;
  switch (dtype.num()) {
    case 0:
      return DType::kBool;
    case 1:
      return DType::kInt8;
    case 2:
      return DType::kUint8;
    case 3:
      return integer(sizeof(short), true);
    case 4:
      return integer(sizeof(short), false);
    case 5:
      return integer(sizeof(int), true);
    case 6:
      return integer(sizeof(int), false);
    case 7:
      return integer(sizeof(long), true);
    case 8:
      return integer(sizeof(long), false);
    case 9:
      return integer(sizeof(long long), true);
    case 10:
      return integer(sizeof(long long), false);
    case 11:
      return DType::kFloat32;
    case 12:
      return DType::kFloat64;
    case 23:
      return DType::kFloat16;
    default:
      return std::nullopt;
  }
}

DType dtype_of(const py::dtype& dtype) {
  if (const auto known = known_dtype(dtype)) return *known;
  throw OpError(ErrorKind::kDType, "expected numbers or booleans in native byte order, got " +
                                       std::string(py::str(static_cast<const py::object&>(dtype))));
}

std::vector<std::string> read_texts(const py::sequence& items) {
  std::vector<std::string> texts;
  for (const auto& item : items) texts.push_back(read_text(item));
  return texts;
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

bool is_plain_array(const py::handle& item) {
  return Py_TYPE(item.ptr()) == py::detail::npy_api::get().PyArray_Type_;
}

bool borrow_plain(const py::handle& item, Tensor& tensor) {
  if (!is_plain_array(item)) return false;
  const auto array = py::reinterpret_borrow<py::array>(item);
  const auto dtype = known_dtype(array.dtype());
  // Aligned strides are multiples of the element size.
  if (!dtype || array.ndim() > kMaxRank ||
      !(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_)) {
    return false;
  }
  const int shift = std::countr_zero(item_size(*dtype));
  const py::ssize_t* shape = array.shape();
  const py::ssize_t* strides = array.strides();
  tensor.reset();
  tensor.data = static_cast<std::byte*>(const_cast<void*>(array.data()));
  tensor.dtype = *dtype;
  for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) {
    tensor.shape.push_back(shape[axis]);
    tensor.strides.push_back(strides[axis] >> shift);
  }
  return true;
}

py::array copy_to_array(const Tensor& tensor) {
  if (tensor.dtype == DType::kText) return texts_to_array(tensor);
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

Attributes read_attributes(const py::dict& items) {
  Attributes attributes;
  for (const auto& [key, item] : items) {
    const auto name = key.cast<std::string>();
    if (py::isinstance<py::array>(item)) {
      const auto array = py::reinterpret_borrow<py::array>(item);
      if (holds_texts(array)) {
        attributes.set(name, read_texts(array.attr("reshape")(-1).attr("tolist")()));
      } else {
        attributes.set(name, borrow_array(array));
      }
    } else if (py::isinstance<py::str>(item)) {
      attributes.set(name, read_text(item));
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
        any_text = any_text || py::isinstance<py::str>(element);
      }
      if (any_text) {
        attributes.set(name, read_texts(sequence));
      } else if (all_integers) {
        attributes.set(name, item.cast<std::vector<std::int64_t>>());
      } else {
        attributes.set(name, item.cast<std::vector<double>>());
      }
    }
  }
  return attributes;
}

const Kernels& kernels_named(const std::string& isa) {
  const Kernels* kernels = find_kernels(isa);
  if (kernels == nullptr) {
    throw OpError(ErrorKind::kUnsupported,
                  "backend '" + isa + "' is not available on this machine");
  }
  return *kernels;
}

}  // namespace pyrec
