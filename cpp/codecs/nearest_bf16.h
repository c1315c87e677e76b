#pragma once

#include <cstdint>

namespace pyrec {
namespace {

// The bits of the nearest bfloat16 number. See round_bf16 in Python.
inline std::uint16_t nearest_bf16(float number) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &number, sizeof bits);
  const std::uint32_t upper = bits >> 16, magnitude = bits & 0x7fffffffu;
  std::uint32_t element = (bits + 0x7fffu + (upper & 1u)) >> 16;
  if (magnitude < 0x00800000u) element = upper & 0x8000u;
  if (magnitude > 0x7f800000u) element = upper | 0x40u;
  return static_cast<std::uint16_t>(element);
}

}  // namespace
}  // namespace pyrec
