#include "bindings/text_reader.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "bindings/gil.h"
#include "core/error.h"
#include "plan/texts.h"
#include "strings/utf8.h"

namespace py = pybind11;

namespace pyrec {

namespace {

// Of elements one after another; errors name the row that they are in.
struct Place {
  std::int64_t element = 0;
  std::int64_t per_row = 1;

  [[noreturn]] void refuse(const std::string& message) const {
    throw OpError(ErrorKind::kDType, message, per_row > 0 ? element / per_row : -1);
  }
};

constexpr const char* kNoText = "expected strings in UTF-8";

bool is_missing(PyObject* item) {
  if (item == Py_None) return true;
  if (PyFloat_Check(item)) return std::isnan(PyFloat_AS_DOUBLE(item));
  const std::string_view name = Py_TYPE(item)->tp_name;
  const auto last = name.substr(name.rfind('.') + 1);
  return last == "NAType" || last == "NaTType";
}

bool append_unicode(TextBuilder& builder, PyObject* item, bool names) {
  const auto count = static_cast<std::size_t>(PyUnicode_GET_LENGTH(item));
  const void* codes = PyUnicode_DATA(item);
  if (PyUnicode_IS_ASCII(item)) {
    builder.append({static_cast<const char*>(codes), count});
    return true;
  }
  switch (PyUnicode_KIND(item)) {
    case PyUnicode_1BYTE_KIND:
      return builder.append_codes(static_cast<const std::uint8_t*>(codes), count, names);
    case PyUnicode_2BYTE_KIND:
      return builder.append_codes(static_cast<const std::uint16_t*>(codes), count, names);
    default:
      return builder.append_codes(static_cast<const std::uint32_t*>(codes), count, names);
  }
}

// Appends an object; false if it is missing.
bool append_object(TextBuilder& builder, PyObject* item, bool names, const Place& place) {
  if (PyUnicode_Check(item)) {
    if (!append_unicode(builder, item, names)) place.refuse(kNoText);
    return true;
  }
  if (PyBytes_Check(item)) {
    const std::string_view text(PyBytes_AS_STRING(item),
                                static_cast<std::size_t>(PyBytes_GET_SIZE(item)));
    if (names && !is_utf8(text)) place.refuse(kNoText);
    builder.append(text);
    return true;
  }
  if (!is_missing(item)) {
    const std::string_view name = Py_TYPE(item)->tp_name;
    place.refuse("expected strings, got " + std::string(name.substr(name.rfind('.') + 1)));
  }
  builder.append({});
  return false;
}

bool is_long_text(PyObject* item) {
  const py::ssize_t size = PyUnicode_Check(item) ? PyUnicode_GET_LENGTH(item)
                           : PyBytes_Check(item) ? PyBytes_GET_SIZE(item)
                                                 : 0;
  return static_cast<std::size_t>(size) >= kLongText;
}

// What NumPy's C interface has for its strings of any length, since version 2.0.
struct VariableStrings {
  struct View {
    std::size_t size;
    const char* bytes;
  };

  static VariableStrings get() {
    const py::object api = py::module_::import("numpy._core._multiarray_umath").attr("_ARRAY_API");
    auto** table = static_cast<void**>(PyCapsule_GetPointer(api.ptr(), nullptr));
    if (table == nullptr) throw py::error_already_set();
    VariableStrings made;
    made.load = reinterpret_cast<decltype(load)>(table[313]);
    made.acquire = reinterpret_cast<decltype(acquire)>(table[316]);
    made.release = reinterpret_cast<decltype(release)>(table[318]);
    return made;
  }

  int (*load)(void* allocator, const char* packed, View* view);
  void* (*acquire)(PyObject* dtype);
  void (*release)(void* allocator);
};

// Marks are kept from the first one that is set on.
void mark(std::vector<bool>& marks, std::size_t place, bool set) {
  if (set && marks.empty()) marks.assign(place, false);
  if (set || !marks.empty()) marks.push_back(set);
}

// append(builder, element): false for one that is no string
template <class Append>
ReadTexts read_fixed(const py::array& array, char kind, Reading reading, const Append& append) {
  if (array.ndim() != 1 || array.dtype().kind() != kind || array.dtype().byteorder() == '>') {
    throw OpError(ErrorKind::kDType, "expected one axis of strings of a fixed width");
  }
  const auto count = array.size();
  const auto stride = count > 0 ? array.strides(0) : 0;
  const auto* from = static_cast<const char*>(array.data());
  ReadTexts made{TextBuilder(static_cast<std::size_t>(count)), {}, {}};
  Place place{0, reading.per_row};
  std::optional<GilRelease> release;
  if (static_cast<std::size_t>(count) > kLongBatch) release.emplace();
  for (; place.element < count; ++place.element, from += stride) {
    if (!append(made.builder, from)) place.refuse(kNoText);
  }
  return made;
}

ReadTexts read_any(const py::array& array, Reading reading) {
  switch (array.dtype().kind()) {
    case 'O':
      return read_objects(array, reading);
    case 'S':
      return read_bytes(array, reading);
    case 'T':
      return read_variable(array);
    case 'U':
      break;
    default:
      throw OpError(ErrorKind::kDType,
                    "expected strings, got " + std::string(py::str(py::object(array.dtype()))));
  }
  const bool plain =
      array.dtype().byteorder() != '>' && (array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_);
  if (plain) return read_codes(array, reading);
  return read_codes(array.attr("astype")(array.dtype().attr("newbyteorder")("=")), reading);
}

}  // namespace

ReadTexts read_variable(const py::array& array) {
  if (array.ndim() != 1 || array.dtype().kind() != 'T') {
    throw OpError(ErrorKind::kDType, "expected one axis of strings of any length");
  }
  const VariableStrings api = VariableStrings::get();
  const py::dtype dtype = array.dtype();
  const auto count = static_cast<std::size_t>(array.size());
  const auto* from = static_cast<const char*>(array.data());
  ReadTexts made{TextBuilder(count), {}, {}};
  bool failed = false;
  {
    const auto release = [&](void* allocator) { api.release(allocator); };
    const std::unique_ptr<void, decltype(release)> allocator(api.acquire(dtype.ptr()), release);
    for (std::size_t i = 0; i < count && !failed; ++i, from += array.strides(0)) {
      VariableStrings::View view{0, nullptr};
      const int state = api.load(allocator.get(), from, &view);
      failed = state < 0;
      made.builder.append(state == 0 ? std::string_view(view.bytes, view.size)
                                     : std::string_view());
      mark(made.missing, i, state == 1);
    }
  }
  if (failed) throw py::error_already_set();
  return made;
}

ReadTexts read_objects(const py::object& items, Reading reading) {
  Place place{0, reading.per_row};
  // Nothing in here runs code of Python's, so nobody changes the list meanwhile.
  std::unordered_map<PyObject*, std::size_t> known;
  const auto take = [&](ReadTexts& made, PyObject* item) {
    const auto element = static_cast<std::size_t>(place.element);
    const std::size_t next = made.builder.offsets().size() - 1;
    const bool is_long = reading.once && is_long_text(item);
    const std::size_t own = is_long ? known.emplace(item, next).first->second : next;
    const bool there = own < next || append_object(made.builder, item, reading.names, place);
    if (own < next && made.places.empty()) {
      made.places.resize(element);
      std::iota(made.places.begin(), made.places.end(), std::size_t{0});
    }
    if (own < next || !made.places.empty()) made.places.push_back(own);
    mark(made.missing, element, !there);
    ++place.element;
  };
  if (PyList_Check(items.ptr()) || PyTuple_Check(items.ptr())) {
    const auto count = PySequence_Fast_GET_SIZE(items.ptr());
    PyObject* const* from = PySequence_Fast_ITEMS(items.ptr());
    ReadTexts made{TextBuilder(static_cast<std::size_t>(count)), {}, {}};
    for (py::ssize_t i = 0; i < count; ++i) {
      if (i + kObjectsAhead < count) prefetch_object(from[i + kObjectsAhead]);
      take(made, from[i]);
    }
    return made;
  }
  const bool fits = py::isinstance<py::array>(items) &&
                    py::reinterpret_borrow<py::array>(items).dtype().kind() == 'O' &&
                    py::reinterpret_borrow<py::array>(items).ndim() == 1;
  if (!fits) throw OpError(ErrorKind::kDType, "expected a list or an array of objects");
  const auto array = py::reinterpret_borrow<py::array>(items);
  const auto* from = static_cast<const char*>(array.data());
  ReadTexts made{TextBuilder(static_cast<std::size_t>(array.size())), {}, {}};
  for (py::ssize_t i = 0; i < array.size(); ++i, from += array.strides(0)) {
    PyObject* item = nullptr;
    std::memcpy(&item, from, sizeof item);
    if (i + kObjectsAhead < array.size()) {
      PyObject* next = nullptr;
      std::memcpy(&next, from + kObjectsAhead * array.strides(0), sizeof next);
      prefetch_object(next);
    }
    take(made, item == nullptr ? Py_None : item);
  }
  return made;
}

std::optional<ReadTexts> read_plain_texts(const py::object& items, bool once) {
  const bool list = PyList_Check(items.ptr()) || PyTuple_Check(items.ptr());
  PyObject* const* from =
      list ? PySequence_Fast_ITEMS(items.ptr())
           : static_cast<PyObject* const*>(py::reinterpret_borrow<py::array>(items).data());
  const auto count =
      list ? PySequence_Fast_GET_SIZE(items.ptr()) : static_cast<py::ssize_t>(py::len(items));
  for (py::ssize_t i = 0; i < count; ++i) {
    if (i + kObjectsAhead < count) prefetch_object(from[i + kObjectsAhead]);
    if (from[i] == nullptr || !PyUnicode_CheckExact(from[i])) return std::nullopt;
    const py::ssize_t size = PyUnicode_GET_LENGTH(from[i]);
    if (size > 0 && PyUnicode_READ_CHAR(from[i], size - 1) == 0) return std::nullopt;
  }
  return read_objects(items, {0, true, once});
}

ReadTexts read_codes(const py::array& array, Reading reading) {
  if (!(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_)) {
    throw OpError(ErrorKind::kDType, "expected aligned memory");
  }
  const auto width = static_cast<std::size_t>(array.itemsize() / 4);
  return read_fixed(array, 'U', reading, [=](TextBuilder& builder, const char* from) {
    const auto* codes = reinterpret_cast<const std::uint32_t*>(from);
    return builder.append_padded(codes, width, reading.names);
  });
}

ReadTexts read_bytes(const py::array& array, Reading reading) {
  const auto width = static_cast<std::size_t>(array.itemsize());
  return read_fixed(array, 'S', reading, [=](TextBuilder& builder, const char* from) {
    // Zeros at the end are characters too.
    if (reading.names && !is_utf8({from, width})) return false;
    builder.append_padded(from, width);
    return true;
  });
}

std::string read_text(const py::handle& text) {
  TextBuilder builder(1);
  if (!PyUnicode_Check(text.ptr()) || !append_unicode(builder, text.ptr(), true)) {
    throw OpError(ErrorKind::kDType, kNoText);
  }
  return builder.size() == 0 ? std::string() : std::string(builder.release().get(), builder.size());
}

bool append_text(TextBuilder& builder, PyObject* item) {
  return PyUnicode_Check(item) && append_unicode(builder, item, false);
}

bool holds_texts(const py::array& array) {
  const char kind = array.dtype().kind();
  return kind == 'U' || kind == 'O' || kind == 'S' || kind == 'T';
}

ReadTexts read_array(const py::array& array, Reading reading) {
  ReadTexts read = read_any(array, reading);
  const auto gone = std::ranges::find(read.missing, true);
  if (gone != read.missing.end()) {
    const Place place{gone - read.missing.begin(), reading.per_row};
    place.refuse("expected strings, got a missing value");
  }
  return read;
}

}  // namespace pyrec
