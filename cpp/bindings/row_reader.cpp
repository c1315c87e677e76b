#include "bindings/row_reader.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "bindings/text_reader.h"
#include "core/error.h"

namespace py = pybind11;

namespace pyrec {

namespace {

using Kind = RawField::Kind;

Kind kind_named(const std::string& name) {
  if (name == "string") return Kind::kText;
  if (name == "integer") return Kind::kInteger;
  if (name == "number") return Kind::kNumber;
  throw OpError(ErrorKind::kModel, "unknown kind " + name);
}

// Nothing in here runs code of Python's: types are compared as they are, and no object is made.

bool read_integer(const RawField& field, PyObject* item, std::int64_t& number) {
  if (!PyLong_CheckExact(item)) return false;
  int overflow = 0;
  number = PyLong_AsLongLongAndOverflow(item, &overflow);
  return overflow == 0 && number <= field.limit && number >= -field.limit;
}

bool read_number(const RawField& field, PyObject* item, double& number) {
  if (PyLong_CheckExact(item)) {
    int overflow = 0;
    number = static_cast<double>(PyLong_AsLongLongAndOverflow(item, &overflow));
    return overflow == 0;
  }
  if (!PyFloat_CheckExact(item)) return false;
  number = PyFloat_AS_DOUBLE(item);
  return (field.any_nan || !std::isnan(number)) && (field.any_infinity || !std::isinf(number));
}

// Of a string that no array of a fixed width would change.
bool read_string(TextBuilder& builder, PyObject* item) {
  if (!PyUnicode_CheckExact(item)) return false;
  const auto length = PyUnicode_GET_LENGTH(item);
  if (length > 0 && PyUnicode_READ_CHAR(item, length - 1) == 0) return false;
  return append_name(builder, item);
}

// Which of a list's elements are kept, and where the first of them goes.
struct Span {
  std::int64_t begin = 0;
  std::int64_t count = 0;
  std::int64_t place = 0;
};

Span span_of(const RawField& field, std::int64_t size) {
  const std::int64_t count = std::min(size, field.length);
  return {field.keep_last ? size - count : 0, count, field.pad_left ? field.length - count : 0};
}

// read(item, element): false for another type
template <class T, class Read>
py::object read_numbers(const RawField& field, PyObject* const* items, std::int64_t size,
                        const Read& read) {
  const Span span = span_of(field, size);
  py::array_t<T> made({py::ssize_t{1}, static_cast<py::ssize_t>(field.length)});
  T* to = made.mutable_data();
  std::fill_n(to, field.length, T{});
  for (std::int64_t i = 0; i < size; ++i) {
    T element;
    if (!read(items[i], element)) return py::none();
    const std::int64_t place = i - span.begin;
    if (place >= 0 && place < span.count) to[span.place + place] = element;
  }
  return made;
}

py::object read_texts(const RawField& field, PyObject* const* items, std::int64_t size) {
  const Span span = span_of(field, size);
  TextBuilder builder(static_cast<std::size_t>(size));
  for (std::int64_t i = 0; i < size; ++i) {
    if (!read_string(builder, items[i])) return py::none();
  }
  return py::cast(
      Strings(std::move(builder), {1, field.length}, static_cast<std::size_t>(span.begin),
              static_cast<std::size_t>(span.place), static_cast<std::size_t>(span.count)));
}

template <class T>
py::object one(T value) {
  py::array_t<T> made(1);
  *made.mutable_data() = value;
  return made;
}

py::object read_one(const RawField& field, PyObject* item) {
  if (field.kind == Kind::kInteger) {
    std::int64_t number = 0;
    return read_integer(field, item, number) ? one(number) : py::none();
  }
  if (field.kind == Kind::kNumber) {
    double number = 0;
    return read_number(field, item, number) ? one(number) : py::none();
  }
  TextBuilder builder(1);
  if (!read_string(builder, item)) return py::none();
  return py::cast(Strings(std::move(builder), {1}, 0, 0, 1));
}

RawField read_field(const py::tuple& spec) {
  RawField field;
  field.name = py::str(spec[0]);
  field.kind = kind_named(spec[1].cast<std::string>());
  field.length = spec[2].cast<std::int64_t>();
  field.most = spec[3].cast<std::int64_t>();
  field.keep_last = spec[4].cast<bool>();
  field.pad_left = spec[5].cast<bool>();
  field.any_nan = spec[6].cast<bool>();
  field.any_infinity = spec[7].cast<bool>();
  field.limit = spec[8].cast<std::int64_t>();
  field.value = spec[9].cast<int>();
  field.count = spec[10].cast<int>();
  field.missing = spec[11].cast<int>();
  return field;
}

}  // namespace

RowReader::RowReader(std::vector<RawField> fields, std::size_t inputs)
    : fields_(std::move(fields)), inputs_(inputs) {
  py::array_t<bool> present(1);
  *present.mutable_data() = false;
  present.attr("setflags")(py::arg("write") = false);
  present_ = std::move(present);
  std::vector<bool> made(inputs, false);
  for (const RawField& field : fields_) {
    for (int place : {field.value, field.count, field.missing}) {
      if (place < 0) continue;
      if (static_cast<std::size_t>(place) >= inputs || made[static_cast<std::size_t>(place)]) {
        throw OpError(ErrorKind::kModel, "fields that do not fit the inputs");
      }
      made[static_cast<std::size_t>(place)] = true;
    }
  }
  if (!std::ranges::all_of(made, [](bool is) { return is; })) {
    throw OpError(ErrorKind::kModel, "an input that no field makes");
  }
}

py::object RowReader::read_list(const RawField& field, const py::handle& value,
                                std::int64_t& kept) const {
  if (!PyList_CheckExact(value.ptr()) && !PyTuple_CheckExact(value.ptr())) return py::none();
  const auto size = static_cast<std::int64_t>(PySequence_Fast_GET_SIZE(value.ptr()));
  if (field.most > 0 && size > field.most) return py::none();
  kept = std::min(size, field.length);
  PyObject* const* items = PySequence_Fast_ITEMS(value.ptr());
  if (field.kind == Kind::kText) return read_texts(field, items, size);
  if (field.kind == Kind::kInteger) {
    return read_numbers<std::int64_t>(
        field, items, size,
        [&](PyObject* item, std::int64_t& number) { return read_integer(field, item, number); });
  }
  return read_numbers<double>(field, items, size, [&](PyObject* item, double& number) {
    return read_number(field, item, number);
  });
}

py::object RowReader::read(const py::handle& row) const {
  if (!PyDict_CheckExact(row.ptr())) return py::none();
  if (static_cast<std::size_t>(PyDict_GET_SIZE(row.ptr())) != fields_.size()) return py::none();
  py::tuple inputs(inputs_);
  const auto give = [&](int place, const py::object& input) {
    if (place >= 0) inputs[static_cast<std::size_t>(place)] = input;
  };
  for (const RawField& field : fields_) {
    // A key of the caller's may have an `__eq__` that changes the dictionary.
    const auto value =
        py::reinterpret_borrow<py::object>(PyDict_GetItemWithError(row.ptr(), field.name.ptr()));
    if (!value) {
      if (PyErr_Occurred() != nullptr) throw py::error_already_set();
      return py::none();
    }
    std::int64_t kept = 0;
    const py::object made =
        field.length > 0 ? read_list(field, value, kept) : read_one(field, value.ptr());
    if (made.is_none()) return py::none();
    give(field.value, made);
    if (field.count >= 0) give(field.count, one(kept));
    give(field.missing, present_);
  }
  return inputs;
}

void bind_row_reader(py::module_& module) {
  py::class_<RowReader>(module, "RowReader")
      .def(py::init([](const py::list& fields, std::size_t inputs) {
             std::vector<RawField> read;
             for (const auto& spec : fields) read.push_back(read_field(spec.cast<py::tuple>()));
             return RowReader(std::move(read), inputs);
           }),
           py::arg("fields"), py::arg("inputs"))
      .def("read", &RowReader::read, py::arg("row"));
}

}  // namespace pyrec
