#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "bindings/convert.h"
#include "strings/texts.h"

namespace pyrec {

using ByteArray = PlainArray<std::uint8_t>;

// What arrays hold, which the caller keeps alive.
std::string_view bytes_of(const ByteArray& array);
std::vector<std::string_view> bytes_of(const std::vector<ByteArray>& arrays);

// Offsets of int32 or int64 and bytes, contiguous, as strings; the caller keeps both alive. Throws
// OpError(kShape) for offsets that decrease or leave the bytes.
Texts borrow_texts(const pybind11::array& offsets, const pybind11::array& data);

void bind_strings(pybind11::module_& module);

}  // namespace pyrec
