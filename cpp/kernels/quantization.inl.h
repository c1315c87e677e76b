#pragma once

// The steps by which numbers are rounded to integers.

#include "dispatch/kernels.h"

namespace pyrec {
namespace {

constexpr std::uint32_t kMagnitude = 0x7fffffffu;

// How numbers of at most `largest` become integers of at most `levels`: x * inverse, rounded. A
// largest that is not finite gives NaN as scale, a tiny one, whose inverse would overflow, zero.
struct Quantization {
  float scale;
  float inverse;
};

inline Quantization quantization_of(std::uint32_t largest_bits, float levels) {
  if (largest_bits >= 0x7f800000u) return {__builtin_nanf(""), 0.0f};
  float largest;
  __builtin_memcpy(&largest, &largest_bits, sizeof largest);
  if (largest < 0x1p-100f) return {0.0f, 0.0f};
  return {largest / levels, levels / largest};
}

}  // namespace
}  // namespace pyrec
