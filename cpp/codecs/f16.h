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
  using Reader = ElementReader<F16>;
};

}  // namespace
}  // namespace pyrec
