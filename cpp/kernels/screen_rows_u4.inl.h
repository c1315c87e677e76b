#pragma once

// A screen of few queries by codes of four bits, two in a byte: half of what codes of seven bits
// take to read.

#include "kernels/screen_rows.inl.h"

namespace pyrec {
namespace {

// Codes in the lower halves of `half` bytes with the first of a query's, those in the upper halves
// with the others; products lane by lane. Of kVectors vectors where that is not 0.
template <int kVectors>
[[gnu::always_inline]] inline VecU dot_half_lanes(const std::int8_t* query, const std::byte* row,
                                                  std::size_t half) {
  constexpr std::size_t kVector = kLanes * sizeof(float);
  constexpr std::uint32_t kLower = 0x0f0f0f0f;
  const auto* first = reinterpret_cast<const std::byte*>(query);
  const std::byte* second = first + half;
  VecU sum{};
  const auto add = [&](VecI codes, VecI a, VecI b) __attribute__((always_inline)) {
    const VecU both = reinterpret_cast<VecU>(codes);
    sum = dot_two_u8s8(sum, reinterpret_cast<VecI>(both & kLower), a,
                       reinterpret_cast<VecI>((both >> 4) & kLower), b);
  };
  if constexpr (kVectors > 0) {
#pragma GCC unroll 16
    for (std::size_t j = 0; j < kVectors * kVector; j += kVector) {
      add(load_groups(row + j), load_groups(first + j), load_groups(second + j));
    }
    return sum;
  }
  std::size_t j = 0;
  for (; j + kVector <= half; j += kVector) {
    add(load_groups(row + j), load_groups(first + j), load_groups(second + j));
  }
  if (j < half) {
    const std::size_t rest = (half - j) / sizeof(float);
    add(load_first_groups(row + j, rest), load_first_groups(first + j, rest),
        load_first_groups(second + j, rest));
  }
  return sum;
}

template <int kVectors>
void screen_rows_u4_of(const std::int8_t* queries, const std::int32_t* starts, const float* scales,
                       std::size_t m, const ScreenRows* blocks, std::size_t count, std::size_t d) {
  const auto dot = [=](std::size_t q, const std::byte* row) __attribute__((always_inline)) {
    return dot_half_lanes<kVectors>(queries + q * d, row, d / 2);
  };
  const auto score = [=](std::size_t q, const ScreenRows& block, std::size_t i, VecU sums) {
    const VecI whole = reinterpret_cast<VecI>(sums + static_cast<std::uint32_t>(starts[q]));
    return multiply_add(broadcast(scales[q]), to_float(whole) * load(block.scale + i),
                        load(block.bias + i));
  };
  screen_rows(m, blocks, count, d / 2, dot, score);
}

// Widths that are usual have loops of their own.
void screen_rows_u4(const std::int8_t* queries, const std::int32_t* starts, const float* scales,
                    std::size_t m, const ScreenRows* blocks, std::size_t count, std::size_t d) {
  constexpr std::size_t kStep = 2 * kLanes * sizeof(float);
  const auto run = d == kStep       ? screen_rows_u4_of<1>
                   : d == 2 * kStep ? screen_rows_u4_of<2>
                   : d == 4 * kStep ? screen_rows_u4_of<4>
                                    : screen_rows_u4_of<0>;
  run(queries, starts, scales, m, blocks, count, d);
}

}  // namespace
}  // namespace pyrec
