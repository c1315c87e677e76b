#include "bindings/row_reader.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <utility>

#include "bindings/text_reader.h"
#include "bindings/text_tensor.h"
#include "core/error.h"

namespace py = pybind11;

namespace pyrec {

namespace {

using Kind = RawField::Kind;
using Missing = RawField::Missing;
using Items = std::span<PyObject* const>;

constexpr std::int64_t kMostPlaces = std::int64_t{1} << 40;

template <class Enum>
Enum named(const std::string& name, std::initializer_list<std::pair<const char*, Enum>> names) {
  for (const auto& [known, value] : names) {
    if (name == known) return value;
  }
  throw OpError(ErrorKind::kModel, "unknown word " + name);
}

// Nothing in here runs code of Python's: types are compared as they are, and what is made is
// nothing that the collector of garbage counts.

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

bool is_list(PyObject* item) { return PyList_CheckExact(item) || PyTuple_CheckExact(item); }

Items items_of(PyObject* list) {
  return {PySequence_Fast_ITEMS(list), static_cast<std::size_t>(PySequence_Fast_GET_SIZE(list))};
}

py::array_t<bool> all_present(std::int64_t rows) {
  py::array_t<bool> made(static_cast<py::ssize_t>(rows));
  std::fill_n(made.mutable_data(), rows, false);
  return made;
}

// Takes None as the field's rule has it; false where it is an error.
bool mark(const RawField& field, RawInputs& inputs, std::size_t row) {
  if (field.missing == Missing::kRefused) return false;
  if (field.missing == Missing::kDefault) return true;
  if (!inputs.missing) inputs.missing = all_present(inputs.rows);
  static_cast<bool*>(py::reinterpret_borrow<py::array>(inputs.missing).mutable_data())[row] = true;
  return true;
}

// Calls f(tag, read, default) for a field of numbers; read(item, element) is false for another
// type.
template <class F>
auto visit_numbers(const RawField& field, const F& f) {
  if (field.kind == Kind::kInteger) {
    return f([&](PyObject* item, std::int64_t& to) { return read_integer(field, item, to); },
             field.integer);
  }
  return f([&](PyObject* item, double& to) { return read_number(field, item, to); }, field.number);
}

RawInputs read_values(const RawField& field, Items items) {
  RawInputs inputs;
  inputs.rows = static_cast<std::int64_t>(items.size());
  if (field.kind == Kind::kText) {
    TextBuilder builder(items.size());
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (items[i] == Py_None && mark(field, inputs, i)) {
        builder.append(field.text);
      } else if (!read_string(builder, items[i])) {
        return {};
      }
    }
    const TextSpan all{0, 0, items.size()};
    inputs.values = py::cast(Strings(std::move(builder), {inputs.rows}, {&all, 1}));
    return inputs;
  }
  return visit_numbers(field, [&](const auto& read, auto missing) -> RawInputs {
    py::array_t<decltype(missing)> made(static_cast<py::ssize_t>(items.size()));
    auto* to = made.mutable_data();
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (items[i] == Py_None && mark(field, inputs, i)) {
        to[i] = missing;
      } else if (!read(items[i], to[i])) {
        return {};
      }
    }
    inputs.values = std::move(made);
    return std::move(inputs);
  });
}

// Which of a list's elements are kept, and where the first of them goes.
TextSpan span_of(const RawField& field, std::size_t size) {
  const auto length = static_cast<std::size_t>(field.length);
  const std::size_t count = std::min(size, length);
  return {field.keep_last ? size - count : 0, field.pad_left ? length - count : 0, count};
}

RawInputs read_list_rows(const RawField& field, std::span<const Items> rows) {
  RawInputs inputs;
  inputs.rows = static_cast<std::int64_t>(rows.size());
  const Shape shape{inputs.rows, field.length};
  std::vector<TextSpan> spans;
  std::size_t total = 0;
  py::array_t<std::int64_t> counts(static_cast<py::ssize_t>(rows.size()));
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const std::size_t size = rows[row].size();
    if (field.most > 0 && size > static_cast<std::size_t>(field.most)) return {};
    TextSpan span = span_of(field, size);
    span.begin += total;
    span.place += row * static_cast<std::size_t>(field.length);
    counts.mutable_data()[row] = static_cast<std::int64_t>(span.count);
    spans.push_back(span);
    total += size;
  }
  inputs.counts = std::move(counts);
  if (field.kind == Kind::kText) {
    TextBuilder builder(total);
    for (const Items& row : rows) {
      for (PyObject* item : row) {
        if (!read_string(builder, item)) return {};
      }
    }
    inputs.values = py::cast(Strings(std::move(builder), shape, spans));
    return inputs;
  }
  return visit_numbers(field, [&](const auto& read, auto zero) -> RawInputs {
    using T = decltype(zero);
    py::array_t<T> made({static_cast<py::ssize_t>(shape[0]), static_cast<py::ssize_t>(shape[1])});
    T* to = made.mutable_data();
    std::fill_n(to, made.size(), T{});
    std::size_t at = 0;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      const TextSpan& span = spans[row];
      for (PyObject* item : rows[row]) {
        T element;
        if (!read(item, element)) return {};
        if (at >= span.begin && at - span.begin < span.count) {
          to[span.place + (at - span.begin)] = element;
        }
        ++at;
      }
    }
    inputs.values = std::move(made);
    return std::move(inputs);
  });
}

// A list of lists, one for each row; or one list of values.
RawInputs read_lists(const RawField& field, Items items) {
  const auto lists = static_cast<std::size_t>(std::ranges::count_if(items, is_list));
  const auto rows = static_cast<std::int64_t>(lists == 0 ? 1 : items.size());
  if ((lists > 0 && lists < items.size()) || rows > kMostPlaces / field.length) return {};
  if (lists == 0) return read_list_rows(field, {&items, 1});
  std::vector<Items> each;
  for (PyObject* item : items) each.push_back(items_of(item));
  return read_list_rows(field, each);
}

RawInputs read_several(const RawField& field, Items items) {
  return field.length > 0 ? read_lists(field, items) : read_values(field, items);
}

RawField read_field(const py::tuple& spec) {
  RawField field;
  field.kind = named<Kind>(
      spec[0].cast<std::string>(),
      {{"string", Kind::kText}, {"integer", Kind::kInteger}, {"number", Kind::kNumber}});
  field.missing = named<Missing>(
      spec[1].cast<std::string>(),
      {{"error", Missing::kRefused}, {"default", Missing::kDefault}, {"marked", Missing::kMarked}});
  if (field.kind == Kind::kText) {
    field.text = read_text(spec[2]);
  } else if (field.kind == Kind::kInteger) {
    field.integer = spec[2].cast<std::int64_t>();
  } else {
    field.number = spec[2].cast<double>();
  }
  field.length = spec[3].cast<std::int64_t>();
  field.most = spec[4].cast<std::int64_t>();
  field.keep_last = spec[5].cast<bool>();
  field.pad_left = spec[6].cast<bool>();
  field.any_nan = spec[7].cast<bool>();
  field.any_infinity = spec[8].cast<bool>();
  field.limit = spec[9].cast<std::int64_t>();
  return field;
}

py::object or_none(const py::object& made) { return made ? made : py::none(); }

}  // namespace

RawInputs read_raw(const RawField& field, const py::handle& value) {
  PyObject* const alone = value.ptr();
  if (is_list(alone)) return read_several(field, items_of(alone));
  return field.length > 0 ? RawInputs() : read_values(field, {&alone, 1});
}

RowReader::RowReader(std::vector<Place> fields, std::size_t inputs)
    : fields_(std::move(fields)), inputs_(inputs), present_(all_present(1)) {
  present_.attr("setflags")(py::arg("write") = false);
  std::vector<bool> made(inputs, false);
  for (const Place& field : fields_) {
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

template <class Read>
py::object RowReader::read_fields(const Read& read) const {
  py::tuple inputs(inputs_);
  const auto give = [&](int place, const py::object& input) {
    if (place >= 0) inputs[static_cast<std::size_t>(place)] = input;
  };
  std::int64_t rows = -1;
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    const Place& field = fields_[i];
    const RawInputs made = read(i);
    if (!made.values || (rows >= 0 && made.rows != rows)) return py::none();
    rows = made.rows;
    give(field.value, made.values);
    give(field.count, made.counts);
    if (field.missing < 0) continue;
    const bool plain = !made.missing && rows == 1;
    give(field.missing, plain          ? present_
                        : made.missing ? made.missing
                                       : py::object(all_present(rows)));
  }
  return inputs;
}

// The values of a row in the fields' order, after those that are there; false where it has others.
bool RowReader::append_row(const py::handle& row, std::vector<py::object>& values) const {
  if (!PyDict_CheckExact(row.ptr())) return false;
  if (static_cast<std::size_t>(PyDict_GET_SIZE(row.ptr())) != fields_.size()) return false;
  for (const Place& field : fields_) {
    // A key of the caller's may have an `__eq__` that changes the dictionary.
    auto value =
        py::reinterpret_borrow<py::object>(PyDict_GetItemWithError(row.ptr(), field.name.ptr()));
    if (!value) {
      if (PyErr_Occurred() != nullptr) throw py::error_already_set();
      return false;
    }
    values.push_back(std::move(value));
  }
  return true;
}

py::object RowReader::read(const py::handle& rows) const {
  std::vector<py::object> values;
  if (!PyList_CheckExact(rows.ptr())) {
    values.reserve(fields_.size());
    if (!append_row(rows, values)) return py::none();
    return read_fields([&](std::size_t i) { return read_raw(fields_[i].field, values[i]); });
  }
  const auto list = py::reinterpret_borrow<py::list>(rows);
  const std::size_t count = list.size();
  values.reserve(count * fields_.size());
  for (std::size_t row = 0; row < count; ++row) {
    if (list.size() != count) return py::none();
    if (!append_row(py::object(list[row]), values)) return py::none();
  }
  std::vector<PyObject*> column(count);
  return read_fields([&](std::size_t i) {
    for (std::size_t row = 0; row < count; ++row) {
      column[row] = values[row * fields_.size() + i].ptr();
    }
    return read_several(fields_[i].field, column);
  });
}

void bind_row_reader(py::module_& module) {
  py::class_<RawField>(module, "RawField")
      .def(py::init(&read_field), py::arg("spec"))
      .def(
          "read",
          [](const RawField& self, const py::object& value) -> py::object {
            const RawInputs made = read_raw(self, value);
            if (!made.values) return py::none();
            return py::make_tuple(made.values, or_none(made.counts), or_none(made.missing),
                                  made.rows);
          },
          py::arg("value"));
  py::class_<RowReader>(module, "RowReader")
      .def(py::init([](const py::list& fields, std::size_t inputs) {
             std::vector<RowReader::Place> read;
             for (const auto& item : fields) {
               const auto spec = item.cast<py::tuple>();
               read.push_back({py::str(spec[0]), spec[1].cast<const RawField&>(),
                               spec[2].cast<int>(), spec[3].cast<int>(), spec[4].cast<int>()});
             }
             return RowReader(std::move(read), inputs);
           }),
           py::arg("fields"), py::arg("inputs"))
      .def("read", &RowReader::read, py::arg("rows"));
}

}  // namespace pyrec
