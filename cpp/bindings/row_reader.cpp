#include "bindings/row_reader.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "bindings/convert.h"
#include "bindings/lists.h"
#include "bindings/text_reader.h"
#include "bindings/text_tensor.h"
#include "core/error.h"

namespace py = pybind11;

namespace pyrec {

namespace {

using Kind = RawField::Kind;
using Missing = RawField::Missing;

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

Text kept(std::string_view text, RowMemory& memory) {
  if (text.empty()) return {};
  char* to = memory.take_bytes(text.size(), 1);
  std::memcpy(to, text.data(), text.size());
  return {to, text.size()};
}

// Of a string that no array of a fixed width would change.
bool read_string(PyObject* item, RowMemory& memory, Text& text) {
  if (!PyUnicode_CheckExact(item)) return false;
  const auto length = PyUnicode_GET_LENGTH(item);
  if (length > 0 && PyUnicode_READ_CHAR(item, length - 1) == 0) return false;
  if (PyUnicode_IS_ASCII(item)) {
    const auto* from = static_cast<const char*>(PyUnicode_DATA(item));
    text = kept({from, static_cast<std::size_t>(length)}, memory);
    return true;
  }
  TextBuilder builder(1);
  if (!append_text(builder, item)) return false;
  const std::size_t size = builder.size();
  text = kept({builder.release().get(), size}, memory);
  return true;
}

// Without code of Python's.
bool is_name(PyObject* key, PyObject* name) {
  return key == name || (PyUnicode_CheckExact(key) && PyUnicode_Compare(key, name) == 0);
}

template <class T>
Tensor tensor_of(T* data, const Shape& shape) {
  return {
      reinterpret_cast<std::byte*>(data), DTypeOf<T>::value, shape, contiguous_strides(shape), {}};
}

Tensor all_present(std::int64_t rows, RowMemory& memory) {
  bool* data = memory.take<bool>(rows);
  std::fill_n(data, rows, false);
  return tensor_of(data, {rows});
}

// Takes None as the field's rule has it; false where it is an error.
bool mark(const RawField& field, RowMemory& memory, RawInputs& inputs, std::size_t row) {
  if (field.missing == Missing::kRefused) return false;
  if (field.missing == Missing::kDefault) return true;
  if (inputs.missing.data == nullptr) inputs.missing = all_present(inputs.rows, memory);
  inputs.missing.as<bool>()[row] = true;
  return true;
}

// Calls f(read, default) for a field's kind; read(item, element) is false for another type, and
// default() gives the element of a missing value.
template <class F>
bool visit_kind(const RawField& field, RowMemory& memory, const F& f) {
  switch (field.kind) {
    case Kind::kText: {
      std::optional<Text> own;
      return f([&](PyObject* item, Text& to) { return read_string(item, memory, to); },
               [&] {
                 if (!own) own = kept(field.text, memory);
                 return *own;
               });
    }
    case Kind::kInteger:
      return f([&](PyObject* item, std::int64_t& to) { return read_integer(field, item, to); },
               [&] { return field.integer; });
    default:
      return f([&](PyObject* item, double& to) { return read_number(field, item, to); },
               [&] { return field.number; });
  }
}

constexpr auto kAhead = static_cast<std::size_t>(kObjectsAhead);

// A request comes with cold caches: what it consists of is asked for together, and read later.
void prefetch_first(ListItems items) {
  for (PyObject* item : items.first(std::min(items.size(), kAhead))) prefetch_object(item);
}

// read(i) for each of some objects, until it is false.
template <class Read>
bool read_each(ListItems items, const Read& read) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i + kAhead < items.size()) prefetch_object(items[i + kAhead]);
    if (!read(i)) return false;
  }
  return true;
}

bool read_values(const RawField& field, ListItems items, RowMemory& memory, RawInputs& inputs) {
  inputs.rows = static_cast<std::int64_t>(items.size());
  return visit_kind(field, memory, [&](const auto& read, const auto& missing) {
    auto* to = memory.take<decltype(missing())>(inputs.rows);
    inputs.values = tensor_of(to, {inputs.rows});
    return read_each(items, [&](std::size_t i) {
      if (items[i] != Py_None || !mark(field, memory, inputs, i)) return read(items[i], to[i]);
      to[i] = missing();
      return true;
    });
  });
}

// Which of a list's elements are kept, and where the first of them goes.
struct Span {
  std::size_t begin = 0;
  std::size_t place = 0;
  std::size_t count = 0;
};

Span span_of(const RawField& field, std::size_t size) {
  const auto length = static_cast<std::size_t>(field.length);
  const std::size_t count = std::min(size, length);
  return {field.keep_last ? size - count : 0, field.pad_left ? length - count : 0, count};
}

bool read_list_rows(const RawField& field, std::span<const ListItems> rows, RowMemory& memory,
                    RawInputs& inputs) {
  inputs.rows = static_cast<std::int64_t>(rows.size());
  auto* counts = memory.take<std::int64_t>(inputs.rows);
  for (std::size_t row = 0; row < rows.size(); ++row) {
    const std::size_t size = rows[row].size();
    if (field.most > 0 && size > static_cast<std::size_t>(field.most)) return false;
    counts[row] = static_cast<std::int64_t>(span_of(field, size).count);
  }
  inputs.counts = tensor_of(counts, {inputs.rows});
  return visit_kind(field, memory, [&](const auto& read, const auto& missing) {
    using T = decltype(missing());
    T* to = memory.take<T>(inputs.rows * field.length);
    std::fill_n(to, inputs.rows * field.length, T{});
    inputs.values = tensor_of(to, {inputs.rows, field.length});
    for (const ListItems& row : rows) {
      const Span span = span_of(field, row.size());
      const bool plain = read_each(row, [&](std::size_t i) {
        T element{};
        if (!read(row[i], element)) return false;
        if (i >= span.begin && i - span.begin < span.count) {
          to[span.place + (i - span.begin)] = element;
        }
        return true;
      });
      if (!plain) return false;
      to += field.length;
    }
    return true;
  });
}

// A list of lists, one for each row; or one list of values.
bool read_lists(const RawField& field, ListItems items, RowMemory& memory, RawInputs& inputs) {
  const auto lists = static_cast<std::size_t>(std::ranges::count_if(items, is_list));
  const auto rows = static_cast<std::int64_t>(lists == 0 ? 1 : items.size());
  if ((lists > 0 && lists < items.size()) || rows > kMostPlaces / field.length) return false;
  if (lists == 0) return read_list_rows(field, {&items, 1}, memory, inputs);
  std::vector<ListItems> each;
  for (PyObject* item : items) each.push_back(items_of(item));
  return read_list_rows(field, each, memory, inputs);
}

bool read_several(const RawField& field, ListItems items, RowMemory& memory, RawInputs& inputs) {
  return field.length > 0 ? read_lists(field, items, memory, inputs)
                          : read_values(field, items, memory, inputs);
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

// What was read as Python has it; None where there is none.
py::object to_python(const Tensor& tensor, const std::shared_ptr<const RowMemory>& memory) {
  if (tensor.data == nullptr) return py::none();
  if (tensor.dtype != DType::kText) return copy_to_array(tensor);
  const Text* texts = tensor.as<Text>();
  return py::cast(Strings(ScratchVector<Text>(texts, texts + tensor.elements()), tensor.shape,
                          std::vector<Strings::Keeper>{memory}));
}

py::object read_field_values(const RawField& field, const py::object& value) {
  auto memory = std::make_shared<RowMemory>();
  RawInputs made;
  if (!read_raw(field, value, *memory, made)) return py::none();
  return py::make_tuple(to_python(made.values, memory), to_python(made.counts, memory),
                        to_python(made.missing, memory), made.rows);
}

py::object read_rows(const RowReader& reader, const py::object& rows) {
  auto memory = std::make_shared<RowMemory>();
  std::vector<Tensor> inputs(reader.inputs());
  std::vector<Tensor*> places;
  for (Tensor& input : inputs) places.push_back(&input);
  if (!reader.read(rows, *memory, places)) return py::none();
  py::tuple made(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) made[i] = to_python(inputs[i], memory);
  return made;
}

}  // namespace

char* RowMemory::take_bytes(std::size_t size, std::size_t aligned) {
  constexpr std::size_t kLargest = std::size_t{1} << 20;
  const std::size_t skipped = left_ % aligned;  // pieces end where anything may
  if (pieces_.empty() || size + skipped > left_) {
    left_ = (std::max(size, next_) + kAligned - 1) / kAligned * kAligned;
    pieces_.push_back(std::make_unique_for_overwrite<std::byte[]>(left_));
    at_ = pieces_.back().get();
    next_ = std::min(2 * next_, kLargest);
  } else {
    at_ += skipped;
    left_ -= skipped;
  }
  std::byte* const taken = at_;
  at_ += size;
  left_ -= size;
  return reinterpret_cast<char*>(taken);
}

bool read_raw(const RawField& field, const py::handle& value, RowMemory& memory,
              RawInputs& inputs) {
  PyObject* const alone = value.ptr();
  if (is_list(alone)) return read_several(field, items_of(alone), memory, inputs);
  return field.length == 0 && read_values(field, {&alone, 1}, memory, inputs);
}

RowReader::RowReader(std::vector<Place> fields, std::size_t inputs)
    : fields_(std::move(fields)), inputs_(inputs) {
  for (const Place& field : fields_) names_.push_back(field.name.ptr());
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
bool RowReader::read_fields(RowMemory& memory, std::span<Tensor* const> inputs,
                            const Read& read) const {
  const auto give = [&](int place, const Tensor& input) {
    Tensor* to = place < 0 ? nullptr : inputs[static_cast<std::size_t>(place)];
    if (to != nullptr) *to = input;
  };
  std::int64_t rows = -1;
  RawInputs made;
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    const Place& field = fields_[i];
    for (Tensor* part : {&made.values, &made.counts, &made.missing}) part->data = nullptr;
    if (!read(i, made) || (rows >= 0 && made.rows != rows)) return false;
    rows = made.rows;
    give(field.value, made.values);
    give(field.count, made.counts);
    if (field.missing >= 0) {
      give(field.missing, made.missing.data == nullptr ? all_present(rows, memory) : made.missing);
    }
  }
  return true;
}

// The values of a row that has the fields in order: borrowed, as neither this nor reading them runs
// code of Python's. False for another row.
bool RowReader::in_order(PyObject* row, std::vector<PyObject*>& values) const {
  if (!PyDict_CheckExact(row)) return false;
  if (static_cast<std::size_t>(PyDict_GET_SIZE(row)) != names_.size()) return false;
  PyObject *key = nullptr, *value = nullptr;
  py::ssize_t at = 0;
  for (PyObject* name : names_) {
    if (PyDict_Next(row, &at, &key, &value) == 0 || !is_name(key, name)) return false;
    prefetch_object(value);
    values.push_back(value);
  }
  return true;
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

bool RowReader::read(const py::handle& rows, RowMemory& memory,
                     std::span<Tensor* const> inputs) const {
  const auto read_row = [&](const auto& row) {
    return read_fields(memory, inputs, [&](std::size_t i, RawInputs& made) {
      return read_raw(fields_[i].field, py::handle(row[i]), memory, made);
    });
  };
  std::vector<PyObject*> borrowed;
  borrowed.reserve(fields_.size());
  if (in_order(rows.ptr(), borrowed)) {
    for (PyObject* value : borrowed) {
      if (is_list(value)) prefetch_first(items_of(value));
    }
    return read_row(borrowed);
  }
  std::vector<py::object> values;
  if (!PyList_CheckExact(rows.ptr())) {
    values.reserve(fields_.size());
    return append_row(rows, values) && read_row(values);
  }
  const auto list = py::reinterpret_borrow<py::list>(rows);
  const std::size_t count = list.size();
  values.reserve(count * fields_.size());
  for (std::size_t row = 0; row < count; ++row) {
    if (list.size() != count) return false;
    if (!append_row(py::object(list[row]), values)) return false;
  }
  std::vector<PyObject*> column(count);
  return read_fields(memory, inputs, [&](std::size_t i, RawInputs& made) {
    for (std::size_t row = 0; row < count; ++row) {
      column[row] = values[row * fields_.size() + i].ptr();
    }
    return read_several(fields_[i].field, column, memory, made);
  });
}

void bind_row_reader(py::module_& module) {
  py::class_<RawField>(module, "RawField")
      .def(py::init(&read_field), py::arg("spec"))
      .def("read", &read_field_values, py::arg("value"));
  py::class_<RowReader, std::shared_ptr<RowReader>>(module, "RowReader")
      .def(py::init([](const py::list& fields, std::size_t inputs) {
             std::vector<RowReader::Place> read;
             for (const auto& item : fields) {
               const auto spec = item.cast<py::tuple>();
               read.push_back({py::str(spec[0]), spec[1].cast<const RawField&>(),
                               spec[2].cast<int>(), spec[3].cast<int>(), spec[4].cast<int>()});
             }
             return std::make_shared<RowReader>(std::move(read), inputs);
           }),
           py::arg("fields"), py::arg("inputs"))
      .def("read", &read_rows, py::arg("rows"));
}

}  // namespace pyrec
