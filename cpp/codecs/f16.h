#pragma once

// float16 numbers.

#include "codecs/elements.h"

namespace pyrec {
namespace {

struct F16 {
  static constexpr const char* kName = "f16";
  static constexpr std::size_t row_bytes(std::size_t width) { return width * sizeof(Element); }

  using Element = std::uint16_t;
  static VecF load(const Element* p) { return load_half(p); }
  static VecF load_first(const Element* p, std::size_t count) { return load_first_half(p, count); }
  static float number(Element x) { return first_lane(load_first_half(&x, 1)); }
  static bool encode(const float* row, std::size_t width, unsigned char* made) {
    constexpr float kLargest = 65504;
    bool fits = true;
    for (std::size_t j = 0; j < width; j += kLanes) {
      const std::size_t count = width - j < kLanes ? width - j : kLanes;
      Element stored[kLanes];
      store_half(stored, pyrec::load_first(row + j, count));
      __builtin_memcpy(made + j * sizeof(Element), stored, count * sizeof(Element));
    }
    for (std::size_t j = 0; j < width; ++j) {
      const float magnitude = __builtin_fabsf(row[j]);
      fits = fits && !(magnitude > kLargest && magnitude < __builtin_inff());
    }
    return fits;
  }
  using Reader = ElementReader<F16>;
};

}  // namespace
}  // namespace pyrec
