#include "bindings/given_values.h"

#include <pybind11/numpy.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "bindings/convert.h"
#include "bindings/lists.h"
#include "bindings/text_tensor.h"
#include "core/dtype.h"

namespace py = pybind11;

namespace pyrec {

namespace {

// NumPy's numbers that `__index__` gives, of whatever width, and those that `__float__` gives.
std::array<PyObject*, 9> whole_types{};
PyObject* single_type = nullptr;
PyObject* double_type = nullptr;

bool converts(DType from, DType to) {
  const auto number = [](DType dtype) { return dtype != DType::kBool && dtype != DType::kText; };
  return from == to || (number(from) && number(to));
}

bool read_whole(PyObject* value, std::int64_t& number) {
  int overflow = 0;
  number = PyLong_AsLongLongAndOverflow(value, &overflow);
  return overflow == 0;
}

void insert_axis(Tensor& tensor, int place, std::int64_t stride) {
  Shape shape, strides;
  for (int axis = 0; axis <= tensor.rank(); ++axis) {
    if (axis == place) {
      shape.push_back(1);
      strides.push_back(stride);
    }
    if (axis == tensor.rank()) break;
    shape.push_back(tensor.shape[axis]);
    strides.push_back(tensor.strides[axis]);
  }
  tensor.shape = shape;
  tensor.strides = strides;
}

bool are_ones(const InputSpec& input, int begin, int end) {
  for (int axis = begin; axis < end; ++axis) {
    if (axis != input.row_axis && input.sizes[static_cast<std::size_t>(axis)] != 1) return false;
  }
  return true;
}

// Gives a tensor the input's rank, where axes of size 1 are all that is too many or too few.
bool fit_rank(Tensor& tensor, const InputSpec& input, bool lone) {
  const auto rank = static_cast<int>(input.sizes.size());
  const int axis = input.row_axis;
  const int lead = rank - tensor.rank();
  if (lead == 0) return true;
  if (lead > 0 && (axis < 0 || lead <= axis) && are_ones(input, 0, lead)) {
    for (int i = 0; i < lead; ++i) insert_axis(tensor, 0, 0);
    return true;
  }
  if (axis < 0) return false;
  const bool ones = are_ones(input, 0, rank);
  if (lone && lead == 1 && (!ones || tensor.elements() == 1)) {
    insert_axis(tensor, axis, 0);
    return true;
  }
  if (tensor.rank() <= 1 && ones) {
    if (tensor.rank() == 0) insert_axis(tensor, 0, 0);
    for (int i = 0; i < rank; ++i) {
      if (i != axis) insert_axis(tensor, i, 0);
    }
    return true;
  }
  if (tensor.rank() == 2 && rank == 1 && tensor.shape[1] == 1) {
    const std::int64_t rows = tensor.shape[0], stride = tensor.strides[0];
    tensor.shape = {rows};
    tensor.strides = {stride};
    return true;
  }
  return false;
}

bool read_items(ListItems items, std::int64_t* numbers) {
  return std::ranges::all_of(items, [&](PyObject* item) {
    return PyLong_CheckExact(item) && read_whole(item, *numbers++);
  });
}

bool read_items(ListItems items, double* numbers) {
  return std::ranges::all_of(items, [&](PyObject* item) {
    if (!PyFloat_CheckExact(item)) return false;
    *numbers++ = PyFloat_AS_DOUBLE(item);
    return true;
  });
}

template <class T>
bool read_rows(ListItems rows, ListItems items, bool nested, RowMemory& memory, Tensor& tensor) {
  const auto count = static_cast<std::int64_t>(rows.size());
  const auto length = static_cast<std::int64_t>(items.size());
  const Shape shape = nested ? Shape{count, length} : Shape{length};
  T* data = memory.take<T>(shape.elements());
  tensor = {
      reinterpret_cast<std::byte*>(data), DTypeOf<T>::value, shape, contiguous_strides(shape), {}};
  if (!nested) return read_items(items, data);
  for (PyObject* row : rows) {
    if (!is_list(row) || items_of(row).size() != items.size()) return false;
    if (!read_items(items_of(row), data)) return false;
    data += length;
  }
  return true;
}

}  // namespace

bool is_fitting(const Tensor& tensor, const InputSpec& input) {
  return static_cast<std::size_t>(tensor.rank()) == input.sizes.size() &&
         converts(tensor.dtype, input.dtype);
}

bool borrow_fitting(const py::handle& value, const InputSpec& input, Tensor& tensor) {
  const bool text = input.dtype == DType::kText;
  return (text ? borrow_strings(value, tensor) : borrow_plain(value, tensor)) &&
         is_fitting(tensor, input);
}

bool GivenValues::take(const py::handle& value, const InputSpec& input, bool lone, Tensor& tensor) {
  if (input.dtype == DType::kText) return borrow_fitting(value, input, tensor);
  const bool read = is_plain_array(value)
                        ? borrow_plain(value, tensor)
                        : read_number(value.ptr(), tensor) || read_list(value.ptr(), tensor);
  return read && converts(tensor.dtype, input.dtype) && fit_rank(tensor, input, lone);
}

template <class T>
void GivenValues::put(T number, Tensor& tensor) {
  T* data = memory_.take<T>(1);
  *data = number;
  tensor.reset();
  tensor.data = reinterpret_cast<std::byte*>(data);
  tensor.dtype = DTypeOf<T>::value;
}

bool GivenValues::read_number(PyObject* value, Tensor& tensor) {
  std::int64_t whole = 0;
  if (PyLong_CheckExact(value)) {
    if (!read_whole(value, whole)) return false;
    put(whole, tensor);
    return true;
  }
  auto* type = reinterpret_cast<PyObject*>(Py_TYPE(value));
  if (PyFloat_CheckExact(value) || type == double_type) {
    put(PyFloat_AS_DOUBLE(value), tensor);
    return true;
  }
  if (type == single_type) {
    const double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred() != nullptr) throw py::error_already_set();
    put(static_cast<float>(number), tensor);
    return true;
  }
  if (std::ranges::find(whole_types, type) == whole_types.end()) return false;
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(value));
  if (!index) throw py::error_already_set();
  if (!read_whole(index.ptr(), whole)) return false;
  put(whole, tensor);
  return true;
}

bool GivenValues::read_list(PyObject* value, Tensor& tensor) {
  if (!is_list(value)) return false;
  const auto rows = items_of(value);
  const bool nested = !rows.empty() && is_list(rows[0]);
  const auto items = nested ? items_of(rows[0]) : rows;
  const bool whole = !items.empty() && PyLong_CheckExact(items[0]);
  // Where there is nothing, NumPy makes floats.
  return whole ? read_rows<std::int64_t>(rows, items, nested, memory_, tensor)
               : read_rows<double>(rows, items, nested, memory_, tensor);
}

void find_number_types() {
  const auto numpy = py::module_::import("numpy");
  // Types live as long as NumPy, which is never unloaded.
  const auto found = [&](const char* name) { return numpy.attr(name).ptr(); };
  single_type = found("float32");
  double_type = found("float64");
  const char* const names[] = {"int8",  "int16",  "int32",  "int64", "longlong",
                               "uint8", "uint16", "uint32", "uint64"};
  std::ranges::transform(names, whole_types.begin(), found);
}

}  // namespace pyrec
