#pragma once

// Strings that come through Arrow's C data interface. All of it needs the interpreter lock.

#include <pybind11/pybind11.h>

#include <optional>

#include "strings/text_builder.h"

namespace pyrec {

// The strings of a column, copied; nothing where one is missing or not UTF-8, where the column is
// of another type, or where anything needs a closer look.
std::optional<TextBuilder> read_arrow_texts(const pybind11::handle& column);

}  // namespace pyrec
