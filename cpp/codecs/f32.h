#pragma once

// float32 numbers.

#include "codecs/elements.h"

namespace pyrec {
namespace {

struct F32 {
  static constexpr const char* kName = "f32";
  static constexpr std::size_t row_bytes(std::size_t width) { return width * sizeof(Element); }

  using Element = float;
  static VecF load(const float* p) { return pyrec::load(p); }
  static VecF load_first(const float* p, std::size_t count) { return pyrec::load_first(p, count); }
  static float number(float x) { return x; }
  static bool encode(const float* row, std::size_t width, unsigned char* made) {
    __builtin_memcpy(made, row, row_bytes(width));
    return true;
  }
  using Reader = ElementReader<F32>;
};

}  // namespace
}  // namespace pyrec
