#pragma once

// Sums of rows of tables as rows of bfloat16 numbers.

#include "kernels/lookup_sum_block.inl.h"
#include "kernels/read_vectors.inl.h"
#include "kernels/round_bf16.inl.h"

namespace pyrec {
namespace {

template <int kVectors, bool kPartial>
void lookup_sum_bf16_block(std::size_t column, std::size_t last, const SumRow& sum,
                           const std::int32_t* order, std::uint16_t* row) {
  constexpr int kWhole = kVectors - (kPartial ? 1 : 0);
  VecF sums[kVectors];
  sum_block<kVectors, kPartial>(sum, column, last, sums);
  row += column;
  if (order != nullptr) {
    order += column;
#pragma GCC unroll 16
    for (int v = 0; v < kWhole; ++v) {
      sums[v] = permute(sums[v], order + static_cast<std::size_t>(v) * kLanes);
    }
  }
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; v += 2) {
    std::uint16_t* p = row + static_cast<std::size_t>(v) * kLanes;
    if (v + 1 < kVectors) {
      store_bf16(p, sums[v], sums[v + 1]);
    } else {
      store_bf16(p, sums[v]);
    }
  }
}

struct LookupSumBf16Maker {
  using Function = decltype(&lookup_sum_bf16_block<1, false>);
  template <int kVectors, bool kPartial>
  static constexpr Function function() {
    return lookup_sum_bf16_block<kVectors, kPartial>;
  }
};

void lookup_sum_bf16(const float* bias, std::size_t bias_step, const LookupPart* parts,
                     std::size_t count, bool relu, std::size_t n, std::size_t width,
                     const std::int32_t* order, std::uint16_t* rows) {
  static constexpr SumBlocks<LookupSumBf16Maker> kBlocks;
  const std::size_t step = rounded_row_size(width);
  const RowsAhead ahead(parts, count, n);
  SumRow sum = {bias, parts, count, 0, relu};
  for (; sum.i < n; ++sum.i, rows += step) {
    ahead.reach(sum.i);
    kBlocks.run(width, sum, order, rows);
    for (std::size_t j = ceil_divide(width, kLanes) * kLanes; j < step; ++j) rows[j] = 0;
    if (bias != nullptr) sum.bias += bias_step;
  }
}

}  // namespace
}  // namespace pyrec
