#pragma once

// bfloat16 numbers: the upper halves of float32 numbers.

#include "codecs/elements.h"
#include "codecs/nearest_bf16.h"

namespace pyrec {
namespace {

struct Bf16 {
  static constexpr const char* kName = "bf16";
  static constexpr std::size_t row_bytes(std::size_t width) { return width * sizeof(Element); }

  using Element = std::uint16_t;
  static VecF load(const Element* p) { return load_bf16(p); }
  static VecF load_first(const Element* p, std::size_t count) { return load_first_bf16(p, count); }
  static float number(Element x) {
    const std::uint32_t bits = static_cast<std::uint32_t>(x) << 16;
    float number;
    __builtin_memcpy(&number, &bits, sizeof number);
    return number;
  }
  static bool encode(const float* row, std::size_t width, unsigned char* made) {
    for (std::size_t j = 0; j < width; ++j) {
      const Element stored = nearest_bf16(row[j]);
      __builtin_memcpy(made + j * sizeof stored, &stored, sizeof stored);
    }
    return true;
  }
  using Reader = ElementReader<Bf16>;
};

}  // namespace
}  // namespace pyrec
