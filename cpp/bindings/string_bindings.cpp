#include "bindings/string_bindings.h"

#include <pybind11/stl.h>

#include <algorithm>
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
#include "bindings/text_arrow.h"
#include "bindings/text_reader.h"
#include "core/error.h"
#include "strings/text_builder.h"
#include "strings/utf8.h"
#include "strings/views.h"
#include "tables/grouped_texts.h"

namespace py = pybind11;

namespace pyrec {

namespace {

constexpr int kPlain = int{py::array::c_style} | int{py::detail::npy_api::NPY_ARRAY_ALIGNED_};

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

py::tuple with_mask(ReadTexts read) {
  const py::tuple made = finish(read.builder);
  if (read.missing.empty()) return py::make_tuple(made[0], made[1], py::none());
  py::array_t<bool> mask(static_cast<py::ssize_t>(read.missing.size()));
  std::ranges::copy(read.missing, mask.mutable_data());
  return py::make_tuple(made[0], made[1], mask);
}

py::tuple texts_of_variable(const py::array& array) { return with_mask(read_variable(array)); }

py::tuple texts_of_objects(const py::object& items, std::int64_t per_row, bool names) {
  return with_mask(read_objects(items, {per_row, names}));
}

// Strings of any plain form along one axis, none of which is missing; None for all that needs a
// closer look.
py::object texts_of_plain(const py::object& items) {
  if (PyList_CheckExact(items.ptr()) || PyTuple_CheckExact(items.ptr())) {
    std::optional<ReadTexts> read = read_plain_texts(items);
    return read ? finish(read->builder) : py::object(py::none());
  }
  if (!py::isinstance<py::array>(items)) {
    std::optional<TextBuilder> builder = read_arrow_texts(items);
    return builder ? finish(*builder) : py::object(py::none());
  }
  const auto array = py::reinterpret_borrow<py::array>(items);
  const char kind = array.ndim() == 1 && array.size() > 0 ? array.dtype().kind() : ' ';
  const bool dense = (array.flags() & kPlain) == kPlain;
  if (kind == 'O' && dense) {
    std::optional<ReadTexts> read = read_plain_texts(array);
    return read ? finish(read->builder) : py::object(py::none());
  }
  // An object for missing ones may be a string itself.
  if (kind == 'T' && dense && !py::hasattr(array.dtype(), "na_object")) {
    ReadTexts read = read_variable(array);
    return finish(read.builder);
  }
  if (kind == 'U' && dense && array.dtype().byteorder() != '>') {
    ReadTexts read = read_codes(array, {1, true});
    return finish(read.builder);
  }
  return py::none();
}

py::tuple texts_of_codes(const py::array& array, std::int64_t per_row, bool names) {
  ReadTexts read = read_codes(array, {per_row, names});
  return finish(read.builder);
}

py::tuple texts_of_bytes(const py::array& array, std::int64_t per_row, bool names) {
  ReadTexts read = read_bytes(array, {per_row, names});
  return finish(read.builder);
}

// None for views that leave their buffers; those of missing elements are not looked at.
py::object texts_of_views(const ByteArray& views, const std::vector<ByteArray>& buffers,
                          const Marks& missing) {
  const std::vector<std::string_view> memory = bytes_of(buffers);
  const TextViews texts(bytes_of(views), memory);
  const bool* gone = marks_of(missing, texts.size());
  TextBuilder builder(texts.size());
  bool inside = true;
  {
    std::optional<GilRelease> release;
    if (texts.size() > kLongBatch) release.emplace();
    for (std::size_t i = 0; inside && i < texts.size(); ++i) {
      const auto text =
          gone != nullptr && gone[i] ? std::optional(std::string_view()) : texts.at(i);
      inside = text.has_value();
      if (inside) builder.append(*text);
    }
  }
  if (!inside) return py::none();
  return finish(builder);
}

// Whether a view leaves its buffers, and the first that is no UTF-8, or -1.
py::tuple faults_of_views(const ByteArray& views, const std::vector<ByteArray>& buffers,
                          const Marks& missing, bool utf8) {
  const std::vector<std::string_view> memory = bytes_of(buffers);
  const TextViews texts(bytes_of(views), memory);
  const bool* gone = marks_of(missing, texts.size());
  ViewFaults found;
  {
    std::optional<GilRelease> release;
    if (texts.size() > kLongBatch) release.emplace();
    found = texts.faults(gone, utf8);
  }
  const std::int64_t row = found.no_utf8 ? static_cast<std::int64_t>(*found.no_utf8) : -1;
  return py::make_tuple(found.outside, row);
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

// Where each string is first, and of each the place among these.
py::tuple group_texts_of(const py::array& offsets, const py::array& data) {
  const Texts texts = borrow_texts(offsets, data);
  GroupedTexts made;
  {
    std::optional<GilRelease> release;
    if (texts.size() > kLongBatch) release.emplace();
    made = group_texts(texts);
  }
  const auto copied = [](const std::vector<std::int64_t>& from) {
    return py::array_t<std::int64_t>(static_cast<py::ssize_t>(from.size()), from.data());
  };
  return py::make_tuple(copied(made.firsts), copied(made.places));
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

std::string_view bytes_of(const ByteArray& array) {
  return {reinterpret_cast<const char*>(array.data()), static_cast<std::size_t>(array.size())};
}

std::vector<std::string_view> bytes_of(const std::vector<ByteArray>& arrays) {
  std::vector<std::string_view> made;
  for (const ByteArray& array : arrays) made.push_back(bytes_of(array));
  return made;
}

const bool* marks_of(const Marks& marks, std::size_t count) {
  if (marks && static_cast<std::size_t>(marks->size()) != count) {
    throw OpError(ErrorKind::kShape, "expected one mark for each string");
  }
  return marks ? marks->data() : nullptr;
}

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
  module.def("texts_of_plain", &texts_of_plain, py::arg("items"));
  module.def("texts_of_codes", &texts_of_codes, py::arg("array"), py::arg("per_row"),
             py::arg("names"));
  module.def("texts_of_bytes", &texts_of_bytes, py::arg("array"), py::arg("per_row"),
             py::arg("names"));
  module.def("texts_of_variable", &texts_of_variable, py::arg("array"));
  module.def("texts_of_views", &texts_of_views, py::arg("views"), py::arg("buffers"),
             py::arg("missing"));
  module.def("faults_of_views", &faults_of_views, py::arg("views"), py::arg("buffers"),
             py::arg("missing"), py::arg("utf8"));
  module.def("texts_of_integers", &texts_of_integers<std::int64_t>, py::arg("numbers").noconvert());
  module.def("texts_of_naturals", &texts_of_integers<std::uint64_t>,
             py::arg("numbers").noconvert());
  module.def("are_offsets", &are_offsets, py::arg("offsets"), py::arg("size"));
  module.def("take_texts", &take_texts, py::arg("offsets"), py::arg("data"), py::arg("places"));
  module.def("group_texts", &group_texts_of, py::arg("offsets"), py::arg("data"));
  module.def("first_no_utf8", &first_no_utf8, py::arg("offsets"), py::arg("data"));
}

}  // namespace pyrec
