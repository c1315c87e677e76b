#pragma once

#include <cstddef>

#include "codecs/codec.h"

namespace pyrec {

// Writes a row's numbers as they are stored; false where the codec refuses one.
bool encode_row(Codec codec, const float* row, std::size_t width, std::byte* made);

}  // namespace pyrec
