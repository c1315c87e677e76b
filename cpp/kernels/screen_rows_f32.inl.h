#pragma once

// A screen of few queries by sums of products in another order than that of scores.

#include "kernels/pair_dots.inl.h"
#include "kernels/screen_rows.inl.h"

namespace pyrec {
namespace {

void screen_rows_f32(const float* queries, std::size_t m, const ScreenRows* blocks,
                     std::size_t count, std::size_t d) {
  const auto dot = [=](std::size_t q, const std::byte* row) {
    return dot_lanes(queries + q * d, reinterpret_cast<const float*>(row), d);
  };
  const auto score = [](std::size_t, const ScreenRows& block, std::size_t i, VecF sums) {
    return sums + load(block.bias + i);
  };
  clear_marks(m, blocks, count);
  multiply_rows(m, blocks, count, d * sizeof(float), dot, score);
}

}  // namespace
}  // namespace pyrec
