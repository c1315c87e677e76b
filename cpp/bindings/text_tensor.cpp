#include "bindings/text_tensor.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "bindings/convert.h"
#include "bindings/string_bindings.h"
#include "bindings/text_reader.h"
#include "core/error.h"
#include "plan/tensor_tools.h"
#include "plan/texts.h"
#include "strings/recent.h"
#include "strings/utf8.h"
#include "strings/views.h"

namespace py = pybind11;

namespace pyrec {

namespace {

using Places = PlainArray<std::int64_t>;

Strings::Keeper keeper_of(py::object object) {
  return std::make_shared<const py::object>(std::move(object));
}

// One part of a column; false where a string that is there ends in a zero.
bool append_part(const py::tuple& part, Text fill, ScratchVector<Text>& texts) {
  const Texts words = borrow_texts(part[0].cast<py::array>(), part[1].cast<py::array>());
  const auto places = part[2].is_none() ? std::nullopt : std::optional(part[2].cast<Places>());
  const auto missing = part[3].cast<Marks>();
  const auto count = places ? static_cast<std::size_t>(places->size()) : words.size();
  const bool* gone = marks_of(missing, count);
  const std::int64_t* chosen = places ? places->data() : nullptr;
  std::size_t made = texts.size();
  texts.resize(made + count);
  return words.visit([&](const auto* offsets, const char* bytes) {
    bool plain = true;
    for (std::size_t i = 0; i < count; ++i) {
      if (gone != nullptr && gone[i]) {
        texts[made++] = fill;
        continue;
      }
      const auto word = chosen == nullptr ? i : static_cast<std::size_t>(chosen[i]);
      if (word >= words.size()) throw OpError(ErrorKind::kShape, "expected places of strings");
      const auto size = static_cast<std::size_t>(offsets[word + 1] - offsets[word]);
      texts[made++] = {bytes + offsets[word], size};
      plain = plain && (size == 0 || bytes[offsets[word + 1] - 1] != 0);
    }
    return plain;
  });
}

// The text of each view, the first one's where equal views are near, or `fill` where one is
// missing; false for one that takes a closer look.
bool read_views(const TextViews& words, const bool* missing, Text fill, Text* texts) {
  constexpr std::size_t kBlock = 256, kAnyway = 16;
  Recent<Text, 9> recent;
  std::size_t known = 0, asked = 0;
  for (std::size_t begin = 0; begin < words.size(); begin += kBlock) {
    // Where views hardly repeat, most are not asked for.
    const bool asks = known >= asked / 4 || begin / kBlock % kAnyway == 0;
    if (asks) known = asked = 0;
    for (std::size_t i = begin; i < std::min(begin + kBlock, words.size()); ++i) {
      if (missing != nullptr && missing[i]) {
        texts[i] = fill;
        continue;
      }
      if (asks) {
        ++asked;
        if (const Text* before = recent.find(words.key(i))) {
          ++known;
          texts[i] = *before;
          continue;
        }
      }
      const auto text = words.at(i);
      if (!text || (!is_ascii(*text) && !is_utf8(*text)) || text->ends_with('\0')) return false;
      if (asks) recent.add(words.key(i), *text);
      texts[i] = *text;
    }
  }
  return true;
}

// Views of one part; false where a string that is there leaves its buffer, is no UTF-8 or ends in a
// zero.
bool append_views(const py::tuple& part, Text fill, ScratchVector<Text>& texts) {
  const auto views = part[0].cast<ByteArray>();
  const std::vector<std::string_view> memory = bytes_of(part[1].cast<std::vector<ByteArray>>());
  const auto missing = part[2].cast<Marks>();
  const TextViews words(bytes_of(views), memory);
  const bool* gone = marks_of(missing, words.size());
  const std::size_t before = texts.size();
  texts.resize(before + words.size());
  return read_views(words, gone, fill, texts.data() + before);
}

// Parts of a column one after another, borrowed; `fill` stands for what is missing. None where
// append(part, fill, texts) finds one that takes a closer look.
template <class Append>
py::object strings_of(const py::list& parts, const std::string& fill, const Append& append) {
  ScratchVector<Text> texts;
  auto own = std::make_shared<const std::string>(fill);
  std::vector<Strings::Keeper> kept{own};
  for (const auto& item : parts) {
    if (!append(item.cast<py::tuple>(), *own, texts)) return py::none();
    kept.push_back(keeper_of(py::reinterpret_borrow<py::object>(item)));
  }
  const auto count = static_cast<std::int64_t>(texts.size());
  return py::cast(Strings(std::move(texts), {count}, std::move(kept)));
}

// Parts in Arrow's layout: offsets, bytes, which of the strings each element is or None, which
// elements are missing or None.
py::object strings_of_texts(const py::list& parts, const std::string& fill) {
  return strings_of(parts, fill, append_part);
}

// Parts of Arrow's views: the views, the buffers, which elements are missing or None.
py::object strings_of_views(const py::list& parts, const std::string& fill) {
  return strings_of(parts, fill, append_views);
}

bool ends_in_zero(const Tensor& tensor) {
  const std::span<const Text> texts(tensor.as<Text>(), static_cast<std::size_t>(tensor.elements()));
  return std::ranges::any_of(texts, [](Text text) { return text.ends_with('\0'); });
}

// Of an array along one axis; nothing where one may be missing.
std::optional<ReadTexts> read_any_length(const py::array& array) {
  // An object for missing ones may be a string itself.
  if (py::hasattr(array.dtype(), "na_object")) return std::nullopt;
  return read_variable(array);
}

// A list, a tuple or an array of objects or of strings of any length, all of which are strings that
// an array of any kind can hold; None for all that needs a closer look.
py::object strings_of_objects(const py::object& items) {
  Shape shape;
  std::optional<ReadTexts> read;
  if (PyList_CheckExact(items.ptr()) || PyTuple_CheckExact(items.ptr())) {
    shape.push_back(static_cast<std::int64_t>(PySequence_Fast_GET_SIZE(items.ptr())));
    if (shape.elements() > 0) read = read_plain_texts(items, true);
  } else if (py::isinstance<py::array>(items)) {
    const auto array = py::reinterpret_borrow<py::array>(items);
    const bool plain = (array.flags() & py::array::c_style) != 0 && array.ndim() <= kMaxRank;
    const char kind = plain && array.size() > 0 ? array.dtype().kind() : ' ';
    if (kind != 'O' && kind != 'T') return py::none();
    for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) shape.push_back(array.shape(axis));
    const py::array flat = array.ndim() == 1 ? array : py::array(array.attr("reshape")(-1));
    read = kind == 'O' ? read_plain_texts(flat, true) : read_any_length(flat);
  }
  if (!read) return py::none();
  Strings made(std::move(*read), shape);
  return ends_in_zero(made.tensor()) ? py::none() : py::cast(std::move(made));
}

PyObject* decoded(std::string_view text) {
  PyObject* made =
      PyUnicode_DecodeUTF8(text.data(), static_cast<py::ssize_t>(text.size()), "surrogatepass");
  if (made == nullptr) throw py::error_already_set();
  return made;
}

// A string's characters, up to a width: zeros behind them.
void write_codes(std::string_view text, std::size_t width, std::uint32_t* to) {
  std::uint32_t* const end = to + width;
  if (is_ascii(text)) {
    for (const char byte : text) *to++ = static_cast<unsigned char>(byte);
  } else {
    for (std::size_t at = 0; at < text.size();) {
      const Decoded next = decode_utf8(text.data() + at);
      *to++ = next.code;
      at += next.size;
    }
  }
  std::fill(to, end, 0U);
}

// The most characters of any of them; nothing where one ends in a zero, or is no UTF-8.
std::optional<std::size_t> longest_of(std::span<const Text> texts) {
  std::size_t longest = 0;
  for (const Text& text : texts) {
    if (text.ends_with('\0')) return std::nullopt;
    std::size_t size = text.size();
    if (!is_ascii(text)) {
      if (!is_utf8(text)) return std::nullopt;
      size -= static_cast<std::size_t>(std::ranges::count_if(
          text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }));
    }
    longest = std::max(longest, size);
  }
  return longest;
}

}  // namespace

Strings::Strings(const py::array& array) {
  if (array.ndim() > kMaxRank) throw OpError(ErrorKind::kShape, "expected at most 8 axes");
  for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) shape_.push_back(array.shape(axis));
  const std::int64_t per_row = array.ndim() == 0 ? 0 : shape_.product(1, shape_.rank());
  take(read_array(array.attr("reshape")(-1), {per_row, true, true}));
}

Strings::Strings(ReadTexts read, const Shape& shape) : shape_(shape) { take(std::move(read)); }

void Strings::take(ReadTexts read) {
  const std::vector<std::int64_t>& offsets = read.builder.offsets();
  std::shared_ptr<const char> bytes = read.builder.release();
  texts_.assign(static_cast<std::size_t>(shape_.elements()), Text());
  for (std::size_t i = 0; i < texts_.size(); ++i) {
    const std::size_t place = read.places.empty() ? i : read.places[i];
    const auto begin = static_cast<std::size_t>(offsets[place]);
    const auto end = static_cast<std::size_t>(offsets[place + 1]);
    if (begin < end) texts_[i] = {bytes.get() + begin, end - begin};
  }
  kept_.push_back(std::move(bytes));
}

Strings::Strings(ScratchVector<Text> texts, const Shape& shape, std::vector<Keeper> kept)
    : shape_(shape), texts_(std::move(texts)), kept_(std::move(kept)) {}

Tensor Strings::tensor() const {
  auto* data = reinterpret_cast<std::byte*>(const_cast<Text*>(texts_.data()));
  return {data, DType::kText, shape_, contiguous_strides(shape_), {}};
}

std::size_t Strings::per_row() const {
  return static_cast<std::size_t>(shape_.product(1, shape_.rank()));
}

Strings Strings::at(const py::object& index) const {
  if (shape_.rank() == 0) throw py::index_error("a scalar has no rows");
  const std::size_t width = per_row();
  const auto row = [&](std::int64_t place) {
    if (place < 0 || place >= shape_[0]) throw py::index_error("no such row");
    return texts_.begin() + place * static_cast<std::ptrdiff_t>(width);
  };
  ScratchVector<Text> chosen;
  Shape shape;
  if (py::isinstance<py::slice>(index)) {
    py::ssize_t begin = 0, end = 0, step = 0, count = 0;
    if (!py::reinterpret_borrow<py::slice>(index).compute(shape_[0], &begin, &end, &step, &count)) {
      throw py::error_already_set();
    }
    chosen.reserve(static_cast<std::size_t>(count) * width);
    for (py::ssize_t i = 0; i < count; ++i) {
      const auto from = row(begin + i * step);
      chosen.insert(chosen.end(), from, from + static_cast<std::ptrdiff_t>(width));
    }
    shape.push_back(count);
  } else {
    const auto places = index.cast<Places>();
    chosen.reserve(static_cast<std::size_t>(places.size()) * width);
    for (py::ssize_t i = 0; i < places.size(); ++i) {
      const auto from = row(places.data()[i]);
      chosen.insert(chosen.end(), from, from + static_cast<std::ptrdiff_t>(width));
    }
    for (py::ssize_t axis = 0; axis < places.ndim(); ++axis) shape.push_back(places.shape(axis));
  }
  for (int axis = 1; axis < shape_.rank(); ++axis) shape.push_back(shape_[axis]);
  return {std::move(chosen), shape, kept_};
}

Strings Strings::reshaped(const std::vector<std::int64_t>& sizes) const {
  Shape shape;
  for (const std::int64_t size : sizes) shape.push_back(size);
  if (checked_elements(shape) != size()) {
    throw OpError(ErrorKind::kShape, "expected a shape of as many elements");
  }
  return {texts_, shape, kept_};
}

bool borrow_strings(const py::handle& item, Tensor& tensor) {
  if (!py::isinstance<Strings>(item)) return false;
  tensor = item.cast<const Strings&>().tensor();
  return true;
}

bool borrow_texts(const py::handle& item, std::vector<Strings>& held, Tensor& tensor) {
  if (borrow_strings(item, tensor)) return true;
  if (!py::isinstance<py::array>(item)) return false;
  held.emplace_back(py::reinterpret_borrow<py::array>(item));
  tensor = held.back().tensor();
  return true;
}

py::array texts_to_array(const Tensor& tensor) {
  const std::vector<py::ssize_t> shape(tensor.shape.begin(), tensor.shape.end());
  py::array array(py::dtype("O"), shape);
  auto* to = static_cast<PyObject**>(array.mutable_data());
  std::map<std::string_view, PyObject*, SamePlace> known;
  for_each_outer(tensor.shape, 0, std::array{tensor.strides}, [&](std::int64_t offset) {
    const std::string_view text = tensor.as<Text>()[offset];
    PyObject* made = nullptr;
    if (text.size() >= kLongText) {
      PyObject*& first = known[text];
      if (first != nullptr) made = Py_NewRef(first);
      if (first == nullptr) first = made = decoded(text);
    } else {
      made = decoded(text);
    }
    // A new array of objects holds None, or nothing.
    Py_XDECREF(std::exchange(*to++, made));
  });
  return array;
}

py::array texts_to_caller(const Tensor& tensor) {
  // Wider ones may take less memory as objects, which whoever sees the objects decides.
  constexpr std::size_t kNarrow = 16, kRoomy = std::size_t{1} << 18;
  const std::span<const Text> texts(tensor.as<Text>(), static_cast<std::size_t>(tensor.elements()));
  const auto longest = tensor.contiguous() ? longest_of(texts) : std::nullopt;
  if (!longest || (*longest > kNarrow && *longest * texts.size() > kRoomy)) {
    return texts_to_array(tensor);
  }
  const std::size_t width = std::max<std::size_t>(*longest, 1);
  const std::vector<py::ssize_t> shape(tensor.shape.begin(), tensor.shape.end());
  py::array array(py::dtype("U" + std::to_string(width)), shape);
  auto* to = static_cast<std::uint32_t*>(array.mutable_data());
  for (const Text& text : texts) {
    write_codes(text, width, to);
    to += width;
  }
  return array;
}

void bind_text_tensor(py::module_& module) {
  py::class_<Strings>(module, "Strings")
      .def(py::init<const py::array&>(), py::arg("array"))
      .def_property_readonly("shape",
                             [](const Strings& self) {
                               return py::tuple(py::cast(std::vector<std::int64_t>(
                                   self.shape().begin(), self.shape().end())));
                             })
      .def_property_readonly("ndim", [](const Strings& self) { return self.shape().rank(); })
      .def_property_readonly("size", &Strings::size)
      .def_property_readonly("nbytes", &Strings::bytes)
      .def_property_readonly("dtype", [](const Strings&) { return py::dtype("U"); })
      .def("__len__",
           [](const Strings& self) {
             if (self.shape().rank() == 0) throw py::type_error("a scalar has no length");
             return self.shape()[0];
           })
      .def("__getitem__", &Strings::at, py::arg("index"))
      .def("reshape", &Strings::reshaped, py::arg("shape"))
      .def(
          "__array__",
          [](const Strings& self, const py::object&, const py::object&) {
            return texts_to_array(self.tensor());
          },
          py::arg("dtype") = py::none(), py::arg("copy") = py::none());
  module.def("strings_of_objects", &strings_of_objects, py::arg("items"));
  module.def("strings_of_texts", &strings_of_texts, py::arg("parts"), py::arg("fill"));
  module.def("strings_of_views", &strings_of_views, py::arg("parts"), py::arg("fill"));
}

}  // namespace pyrec
