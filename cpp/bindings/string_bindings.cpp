#include "bindings/string_bindings.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings/convert.h"
#include "bindings/gil.h"
#include "core/error.h"
#include "strings/text_builder.h"
#include "strings/utf8.h"

namespace py = pybind11;

namespace pyrec {

namespace {

// Memory that an array of NumPy keeps.
template <class T>
py::array_t<T> array_over(const T* from, std::size_t count, const py::capsule& owner) {
  return py::array_t<T>(static_cast<py::ssize_t>(count), from, owner);
}

py::tuple finish(TextBuilder& builder) {
  auto offsets = std::make_unique<std::vector<std::int64_t>>(std::move(builder.offsets()));
  const std::int64_t* first = offsets->data();
  const std::size_t count = offsets->size();
  const py::capsule offsets_owner(
      offsets.get(), [](void* kept) { delete static_cast<std::vector<std::int64_t>*>(kept); });
  static_cast<void>(offsets.release());
  const py::array_t<std::int64_t> made = array_over(first, count, offsets_owner);
  const std::size_t size = builder.size();
  if (size == 0) return py::make_tuple(made, py::array_t<std::uint8_t>(0));
  auto bytes = builder.release();
  const py::capsule owner(bytes.get(),
                          [](void* kept) { TextBuilder::Free()(static_cast<char*>(kept)); });
  const auto* data = reinterpret_cast<const std::uint8_t*>(bytes.release());
  return py::make_tuple(made, array_over(data, size, owner));
}

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
    place.refuse("expected strings, got objects of other types (" +
                 std::string(name.substr(name.rfind('.') + 1)) + ")");
  }
  builder.append({});
  return false;
}

constexpr py::ssize_t kAhead = 16;  // objects between a prefetch and its use

// An object's head, and what follows it.
void prefetch(const PyObject* item) {
  __builtin_prefetch(item);
  __builtin_prefetch(reinterpret_cast<const char*>(item) + 64);
}

py::array to_mask(const std::vector<bool>& marks) {
  py::array_t<bool> mask(static_cast<py::ssize_t>(marks.size()));
  std::ranges::copy(marks, mask.mutable_data());
  return mask;
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

py::tuple texts_of_variable(const py::array& array) {
  if (array.ndim() != 1 || array.dtype().kind() != 'T') {
    throw OpError(ErrorKind::kDType, "expected one axis of strings of any length");
  }
  const VariableStrings api = VariableStrings::get();
  const py::dtype dtype = array.dtype();
  const auto count = static_cast<std::size_t>(array.size());
  const auto* from = static_cast<const char*>(array.data());
  TextBuilder builder(count);
  std::vector<bool> missing(count, false);
  bool any = false, failed = false;
  {
    const auto release = [&](void* allocator) { api.release(allocator); };
    const std::unique_ptr<void, decltype(release)> allocator(api.acquire(dtype.ptr()), release);
    for (std::size_t i = 0; i < count && !failed; ++i, from += array.strides(0)) {
      VariableStrings::View view{0, nullptr};
      const int state = api.load(allocator.get(), from, &view);
      failed = state < 0;
      if (state == 1) missing[i] = any = true;
      builder.append(state == 0 ? std::string_view(view.bytes, view.size) : std::string_view());
    }
  }
  if (failed) throw py::error_already_set();
  const py::tuple made = finish(builder);
  return py::make_tuple(made[0], made[1], any ? py::object(to_mask(missing)) : py::none());
}

py::tuple texts_of_objects(const py::object& items, std::int64_t per_row, bool names) {
  std::vector<bool> missing;
  bool any = false;
  Place place{0, per_row};
  // Nothing in here runs code of Python's, so nobody changes the list meanwhile.
  const auto take = [&](TextBuilder& builder, PyObject* item) {
    const bool there = append_object(builder, item, names, place);
    if (!there && !any) {
      missing.assign(static_cast<std::size_t>(place.element), false);
      any = true;
    }
    if (any) missing.push_back(!there);
    ++place.element;
  };
  std::optional<TextBuilder> builder;
  if (PyList_Check(items.ptr()) || PyTuple_Check(items.ptr())) {
    const auto count = PySequence_Fast_GET_SIZE(items.ptr());
    PyObject* const* from = PySequence_Fast_ITEMS(items.ptr());
    builder.emplace(static_cast<std::size_t>(count));
    for (py::ssize_t i = 0; i < count; ++i) {
      if (i + kAhead < count) prefetch(from[i + kAhead]);
      take(*builder, from[i]);
    }
  } else {
    const bool fits = py::isinstance<py::array>(items) &&
                      py::reinterpret_borrow<py::array>(items).dtype().kind() == 'O' &&
                      py::reinterpret_borrow<py::array>(items).ndim() == 1;
    if (!fits) throw OpError(ErrorKind::kDType, "expected a list or an array of objects");
    const auto array = py::reinterpret_borrow<py::array>(items);
    const auto* from = static_cast<const char*>(array.data());
    builder.emplace(static_cast<std::size_t>(array.size()));
    for (py::ssize_t i = 0; i < array.size(); ++i, from += array.strides(0)) {
      PyObject* item = nullptr;
      std::memcpy(&item, from, sizeof item);
      if (i + kAhead < array.size()) {
        PyObject* next = nullptr;
        std::memcpy(&next, from + kAhead * array.strides(0), sizeof next);
        prefetch(next);
      }
      take(*builder, item == nullptr ? Py_None : item);
    }
  }
  const py::tuple made = finish(*builder);
  return py::make_tuple(made[0], made[1], any ? py::object(to_mask(missing)) : py::none());
}

py::array require_fixed(const py::array& array, char kind) {
  if (array.ndim() != 1 || array.dtype().kind() != kind || array.dtype().byteorder() == '>') {
    throw OpError(ErrorKind::kDType, "expected one axis of strings of a fixed width");
  }
  return array;
}

py::tuple texts_of_codes(const py::array& given, std::int64_t per_row, bool names) {
  const py::array array = require_fixed(given, 'U');
  if (!(array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_)) {
    throw OpError(ErrorKind::kDType, "expected aligned memory");
  }
  const auto width = static_cast<std::size_t>(array.itemsize() / 4);
  const auto count = array.size();
  const auto stride = count > 0 ? array.strides(0) : 0;
  const auto* from = static_cast<const char*>(array.data());
  TextBuilder builder(static_cast<std::size_t>(count));
  Place place{0, per_row};
  {
    std::optional<GilRelease> release;
    if (static_cast<std::size_t>(count) > kLongBatch) release.emplace();
    for (; place.element < count; ++place.element, from += stride) {
      const auto* codes = reinterpret_cast<const std::uint32_t*>(from);
      if (!builder.append_padded(codes, width, names)) place.refuse(kNoText);
    }
  }
  return finish(builder);
}

py::tuple texts_of_bytes(const py::array& given, std::int64_t per_row, bool names) {
  const py::array array = require_fixed(given, 'S');
  const auto width = static_cast<std::size_t>(array.itemsize());
  const auto count = array.size();
  const auto stride = count > 0 ? array.strides(0) : 0;
  const auto* from = static_cast<const char*>(array.data());
  TextBuilder builder(static_cast<std::size_t>(count));
  Place place{0, per_row};
  {
    std::optional<GilRelease> release;
    if (static_cast<std::size_t>(count) > kLongBatch) release.emplace();
    for (; place.element < count; ++place.element, from += stride) {
      // Zeros at the end are characters too.
      if (names && !is_utf8({from, width})) place.refuse(kNoText);
      builder.append_padded(from, width);
    }
  }
  return finish(builder);
}

using Bytes = PlainArray<std::uint8_t>;

// Arrow's views of 16 bytes: a length, then up to 12 bytes, or 4 of them, a buffer and a place in
// it. None for views that leave their buffers; those of missing elements are not looked at.
py::object texts_of_views(const Bytes& views, const std::vector<Bytes>& buffers,
                          const std::optional<PlainArray<bool>>& missing) {
  constexpr std::size_t kView = 16, kInline = 12;
  const auto count = static_cast<std::size_t>(views.size()) / kView;
  if (missing && static_cast<std::size_t>(missing->size()) != count) {
    throw OpError(ErrorKind::kShape, "expected one mark for each view");
  }
  const bool* gone = missing ? missing->data() : nullptr;
  std::vector<std::string_view> memory;
  for (const Bytes& buffer : buffers) {
    memory.emplace_back(reinterpret_cast<const char*>(buffer.data()),
                        static_cast<std::size_t>(buffer.size()));
  }
  TextBuilder builder(count);
  bool inside = true;
  {
    std::optional<GilRelease> release;
    if (static_cast<std::size_t>(count) > kLongBatch) release.emplace();
    const auto* view = reinterpret_cast<const char*>(views.data());
    for (std::size_t i = 0; inside && i < count; ++i, view += kView) {
      std::int32_t length = 0, place = 0, offset = 0;
      std::memcpy(&length, view, 4);
      if (gone != nullptr && gone[i]) length = 0;
      const auto size = static_cast<std::size_t>(length);
      if (length >= 0 && size <= kInline) {
        builder.append({view + 4, size});
        continue;
      }
      std::memcpy(&place, view + 8, 4);
      std::memcpy(&offset, view + 12, 4);
      inside = length >= 0 && place >= 0 && static_cast<std::size_t>(place) < memory.size() &&
               offset >= 0;
      if (!inside) break;
      const std::string_view buffer = memory[static_cast<std::size_t>(place)];
      const auto begin = static_cast<std::size_t>(offset);
      inside = begin <= buffer.size() && size <= buffer.size() - begin;
      if (inside) builder.append(buffer.substr(begin, size));
    }
  }
  if (!inside) return py::none();
  return finish(builder);
}

template <class T>
py::tuple texts_of_integers(const PlainArray<T>& numbers) {
  const auto count = static_cast<std::size_t>(numbers.size());
  TextBuilder builder(count);
  {
    std::optional<GilRelease> release;
    if (count > kLongBatch) release.emplace();
    for (std::size_t i = 0; i < count; ++i) builder.append_decimal(numbers.data()[i]);
  }
  return finish(builder);
}

// Chosen strings, each as often as it is named.
py::tuple take_texts(const py::array& offsets, const py::array& data,
                     const PlainArray<std::int64_t>& places) {
  const Texts texts = borrow_texts(offsets, data);
  const std::span<const std::int64_t> chosen(places.data(),
                                             static_cast<std::size_t>(places.size()));
  TextBuilder builder(chosen.size());
  {
    std::optional<GilRelease> release;
    if (chosen.size() > kLongBatch) release.emplace();
    for (const std::int64_t place : chosen) {
      const auto index = static_cast<std::size_t>(place);
      if (index >= texts.size()) throw OpError(ErrorKind::kShape, "expected places of strings");
      builder.append(texts.at(index));
    }
  }
  return finish(builder);
}

std::int64_t first_no_utf8(const py::array& offsets, const py::array& data) {
  const Texts texts = borrow_texts(offsets, data);
  std::optional<std::size_t> found;
  {
    const GilRelease release;
    found = find_no_utf8(texts);
  }
  return found ? static_cast<std::int64_t>(*found) : -1;
}

constexpr int kPlain = int{py::array::c_style} | int{py::detail::npy_api::NPY_ARRAY_ALIGNED_};

// f(span) with offsets in their own type, which is int32 or int64.
template <class F>
auto visit_offsets(const py::array& offsets, const F& f) {
  const auto span_of = [&](auto zero) {
    using T = decltype(zero);
    return std::span<const T>(static_cast<const T*>(offsets.data()),
                              static_cast<std::size_t>(offsets.size()));
  };
  const bool plain =
      (offsets.flags() & kPlain) == kPlain && offsets.ndim() == 1 && offsets.size() > 0;
  if (plain && py::isinstance<py::array_t<std::int64_t>>(offsets))
    return f(span_of(std::int64_t{}));
  if (plain && py::isinstance<py::array_t<std::int32_t>>(offsets))
    return f(span_of(std::int32_t{}));
  throw OpError(ErrorKind::kDType, "expected offsets of int32 or int64");
}

// Whether offsets never decrease, and stay inside that many bytes.
bool are_offsets(const py::array& offsets, py::ssize_t size) {
  return visit_offsets(offsets, [&](const auto& all) {
    bool falls = all.front() < 0 || all.back() > size;
    for (std::size_t i = 1; i < all.size(); ++i) falls |= all[i] < all[i - 1];
    return !falls;
  });
}

}  // namespace

Texts borrow_texts(const py::array& offsets, const py::array& data) {
  if ((data.flags() & kPlain) != kPlain || data.ndim() != 1 || data.itemsize() != 1) {
    throw OpError(ErrorKind::kDType, "expected bytes");
  }
  if (!are_offsets(offsets, data.size())) {
    throw OpError(ErrorKind::kShape, "expected offsets that never decrease, inside the bytes");
  }
  const auto* bytes = static_cast<const char*>(data.data());
  return visit_offsets(offsets, [&](const auto& all) { return Texts(all, bytes); });
}

void bind_strings(py::module_& module) {
  module.def("texts_of_objects", &texts_of_objects, py::arg("items"), py::arg("per_row"),
             py::arg("names"));
  module.def("texts_of_codes", &texts_of_codes, py::arg("array"), py::arg("per_row"),
             py::arg("names"));
  module.def("texts_of_bytes", &texts_of_bytes, py::arg("array"), py::arg("per_row"),
             py::arg("names"));
  module.def("texts_of_variable", &texts_of_variable, py::arg("array"));
  module.def("texts_of_views", &texts_of_views, py::arg("views"), py::arg("buffers"),
             py::arg("missing"));
  module.def("texts_of_integers", &texts_of_integers<std::int64_t>, py::arg("numbers").noconvert());
  module.def("texts_of_naturals", &texts_of_integers<std::uint64_t>,
             py::arg("numbers").noconvert());
  module.def("are_offsets", &are_offsets, py::arg("offsets"), py::arg("size"));
  module.def("take_texts", &take_texts, py::arg("offsets"), py::arg("data"), py::arg("places"));
  module.def("first_no_utf8", &first_no_utf8, py::arg("offsets"), py::arg("data"));
}

}  // namespace pyrec
