#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "bindings/convert.h"
#include "strings/texts.h"

namespace pyrec {

using ByteArray = PlainArray<std::uint8_t>;

// What arrays hold, which the caller keeps alive.
std::string_view bytes_of(const ByteArray& array);
std::vector<std::string_view> bytes_of(const std::vector<ByteArray>& arrays);

// Which elements are missing, where any is.
using Marks = std::optional<PlainArray<bool>>;

// Borrowed, or null. Throws OpError(kShape) for another number of marks.
const bool* marks_of(const Marks& marks, std::size_t count);

// Offsets of int32 or int64 and bytes, contiguous, as strings; the caller keeps both alive. Throws
// OpError(kShape) for offsets that decrease or leave the bytes.
Texts borrow_texts(const pybind11::array& offsets, const pybind11::array& data);

void bind_strings(pybind11::module_& module);

}  // namespace pyrec
