#include "bindings/text_arrow.h"

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "strings/utf8.h"
#include "strings/views.h"

namespace py = pybind11;

namespace pyrec {

namespace {

constexpr std::int64_t kMost = std::int64_t{1} << 40;

// The structures are those of the interface, member by member.
struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  std::int64_t flags;
  std::int64_t n_children;
  ArrowSchema** children;
  ArrowSchema* dictionary;
  void (*release)(ArrowSchema*);
  void* private_data;
};

struct ArrowArray {
  std::int64_t length;
  std::int64_t null_count;
  std::int64_t offset;
  std::int64_t n_buffers;
  std::int64_t n_children;
  const void** buffers;
  ArrowArray** children;
  ArrowArray* dictionary;
  void (*release)(ArrowArray*);
  void* private_data;
};

struct ArrowArrayStream {
  int (*get_schema)(ArrowArrayStream*, ArrowSchema*);
  int (*get_next)(ArrowArrayStream*, ArrowArray*);
  const char* (*get_last_error)(ArrowArrayStream*);
  void (*release)(ArrowArrayStream*);
  void* private_data;
};

// A structure that a stream hands over.
template <class T>
struct Owned {
  T value{};
  Owned() = default;
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (value.release != nullptr) value.release(&value);
  }
};

enum class Form { kNarrow, kWide, kViews, kOther };

Form form_of(const ArrowSchema& schema) {
  if (schema.format == nullptr || schema.dictionary != nullptr || schema.n_children != 0) {
    return Form::kOther;
  }
  const std::string_view format = schema.format;
  if (format == "u") return Form::kNarrow;
  if (format == "U") return Form::kWide;
  return format == "vu" ? Form::kViews : Form::kOther;
}

bool append_arrow_text(TextBuilder& builder, std::string_view text) {
  if (!is_ascii(text) && !is_utf8(text)) return false;
  builder.append(text);
  return true;
}

template <class Offset>
bool append_arrow_offsets(TextBuilder& builder, const ArrowArray& array) {
  if (array.n_buffers < 3 || array.buffers[1] == nullptr) return false;
  const auto* offsets = static_cast<const Offset*>(array.buffers[1]) + array.offset;
  const auto* bytes = static_cast<const char*>(array.buffers[2]);
  if (offsets[0] < 0) return false;
  for (std::int64_t i = 0; i < array.length; ++i) {
    const Offset begin = offsets[i], end = offsets[i + 1];
    if (end < begin || std::int64_t{end} > kMost || (bytes == nullptr && end > begin)) return false;
    const std::string_view text =
        end == begin ? std::string_view()
                     : std::string_view(bytes + begin, static_cast<std::size_t>(end - begin));
    if (!append_arrow_text(builder, text)) return false;
  }
  return true;
}

// The last buffer has the sizes of those that views look into.
bool append_arrow_views(TextBuilder& builder, const ArrowArray& array) {
  constexpr std::int64_t kBefore = 2, kMostBuffers = 1 << 20;
  const std::int64_t others = array.n_buffers - kBefore - 1;
  if (others < 0 || others > kMostBuffers || array.buffers[1] == nullptr) return false;
  const auto* sizes = static_cast<const std::int64_t*>(array.buffers[array.n_buffers - 1]);
  std::vector<std::string_view> buffers(static_cast<std::size_t>(others));
  for (std::int64_t i = 0; i < others && sizes != nullptr; ++i) {
    const auto* bytes = static_cast<const char*>(array.buffers[kBefore + i]);
    // No view of more than its own bytes looks into an empty one.
    if (bytes == nullptr || sizes[i] < 0) continue;
    buffers[static_cast<std::size_t>(i)] = {bytes, static_cast<std::size_t>(sizes[i])};
  }
  constexpr auto kView = static_cast<std::int64_t>(TextViews::kBytes);
  const std::string_view all(static_cast<const char*>(array.buffers[1]) + kView * array.offset,
                             static_cast<std::size_t>(kView * array.length));
  const TextViews views(all, buffers);
  for (std::size_t i = 0; i < views.size(); ++i) {
    const std::optional<std::string_view> text = views.at(i);
    if (!text || !append_arrow_text(builder, *text)) return false;
  }
  return true;
}

bool append_arrow_array(TextBuilder& builder, Form form, const ArrowArray& array) {
  const bool sound = array.length >= 0 && array.length <= kMost && array.offset >= 0 &&
                     array.offset <= kMost && array.dictionary == nullptr;
  if (!sound) return false;
  if (array.length == 0) return true;
  if (array.buffers == nullptr || array.n_buffers < 1) return false;
  const bool whole =
      array.null_count == 0 || (array.null_count == -1 && array.buffers[0] == nullptr);
  if (!whole) return false;
  switch (form) {
    case Form::kNarrow:
      return append_arrow_offsets<std::int32_t>(builder, array);
    case Form::kWide:
      return append_arrow_offsets<std::int64_t>(builder, array);
    case Form::kViews:
      return append_arrow_views(builder, array);
    case Form::kOther:
      break;
  }
  return false;
}

template <class T>
T* pointer_in(const py::handle& capsule, const char* name) {
  if (!PyCapsule_IsValid(capsule.ptr(), name)) return nullptr;
  auto* found = static_cast<T*>(PyCapsule_GetPointer(capsule.ptr(), name));
  return found->release == nullptr ? nullptr : found;
}

bool append_arrow_stream(TextBuilder& builder, const py::object& capsule) {
  auto* stream = pointer_in<ArrowArrayStream>(capsule, "arrow_array_stream");
  if (stream == nullptr || stream->get_schema == nullptr || stream->get_next == nullptr) {
    return false;
  }
  Owned<ArrowSchema> schema;
  if (stream->get_schema(stream, &schema.value) != 0) return false;
  const Form form = form_of(schema.value);
  while (form != Form::kOther) {
    Owned<ArrowArray> array;
    if (stream->get_next(stream, &array.value) != 0) return false;
    if (array.value.release == nullptr) return true;
    if (!append_arrow_array(builder, form, array.value)) return false;
  }
  return false;
}

// Of its type, as Python looks for special methods. To ask for an attribute that there is not may
// run code of the column's own, and makes an error in any case, which takes longer than to read it.
bool has_method(const py::handle& column, const char* name) {
  const py::str key(name);
  for (const auto& base : py::reinterpret_borrow<py::tuple>(Py_TYPE(column.ptr())->tp_mro)) {
    PyObject* const members = reinterpret_cast<PyTypeObject*>(base.ptr())->tp_dict;
    if (members != nullptr && PyDict_Contains(members, key.ptr()) == 1) return true;
  }
  return false;
}

bool append_arrow_column(TextBuilder& builder, const py::handle& column) {
  if (has_method(column, "__arrow_c_stream__")) {
    // What has no length may be a stream that can be read once.
    return has_method(column, "__len__") &&
           append_arrow_stream(builder, column.attr("__arrow_c_stream__")());
  }
  if (!has_method(column, "__arrow_c_array__")) return false;
  const py::object pair = column.attr("__arrow_c_array__")();
  if (!py::isinstance<py::tuple>(pair) || py::len(pair) != 2) return false;
  const py::object first = pair[py::int_(0)], second = pair[py::int_(1)];
  const auto* schema = pointer_in<ArrowSchema>(first, "arrow_schema");
  const auto* array = pointer_in<ArrowArray>(second, "arrow_array");
  return schema != nullptr && array != nullptr &&
         append_arrow_array(builder, form_of(*schema), *array);
}

}  // namespace

std::optional<TextBuilder> read_arrow_texts(const py::handle& column) {
  TextBuilder builder(0);
  try {
    if (!append_arrow_column(builder, column)) return std::nullopt;
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_Exception) || error.matches(PyExc_MemoryError)) throw;
    return std::nullopt;
  }
  return builder;
}

}  // namespace pyrec
