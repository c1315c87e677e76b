#pragma once

// Conversion between binary16 and float32.

#include <cstddef>
#include <cstdint>

namespace pyrec {
namespace {

void half_to_f32(const std::uint16_t* x, float* y, std::size_t n) {
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, load_half(x + i));
  if (i < n) store_first(y + i, load_first_half(x + i, n - i), n - i);
}

void f32_to_half(const float* x, std::uint16_t* y, std::size_t n) {
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store_half(y + i, load(x + i));
  if (i == n) return;
  std::uint16_t last[kLanes];
  store_half(last, load_first(x + i, n - i));
  for (std::size_t j = 0; i + j < n; ++j) y[i + j] = last[j];
}

}  // namespace
}  // namespace pyrec
