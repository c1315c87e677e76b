#pragma once

// Sums of rows of tables as quantised rows.

#include "kernels/lookup_sum.inl.h"
#include "kernels/quantize.inl.h"
#include "kernels/read_vectors.inl.h"

namespace pyrec {
namespace {

// A row that fits into registers.
template <int kVectors, bool kPartial>
void lookup_sum_u8_block(std::size_t, std::size_t last, const SumRow& sum,
                         const std::int32_t* order, std::byte* row) {
  constexpr int kWhole = kVectors - (kPartial ? 1 : 0);
  VecF sums[kVectors];
  sum_block<kVectors, kPartial>(sum, 0, last, sums);
  const auto largest_of = [&](std::uint32_t mask) {
    VecU largest = bits(sums[0]) & mask;
#pragma GCC unroll 16
    for (int v = 1; v < kVectors; ++v) largest = max(largest, bits(sums[v]) & mask);
    return max_lanes(largest);
  };
  const RowQuantization found = quantization_of_row(largest_of);
  const VecF inverse = broadcast(found.levels.inverse);
  const VecI zero = broadcast(found.below ? kZeroPoint : 0);
  const std::size_t width = static_cast<std::size_t>(kVectors - 1) * kLanes + last;
  const std::size_t size = quantized_row_size(width) - kRowRecordTail;
  store_tail(found, row + size);
  if (found.levels.inverse == 0.0f) {
    __builtin_memset(row, found.below ? kZeroPoint : 0, size);
    return;
  }
  VecI whole[kVectors];
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) {
    const std::size_t j = static_cast<std::size_t>(v) * kLanes;
    const VecF y = order != nullptr && v < kWhole ? permute(sums[v], order + j) : sums[v];
    whole[v] = to_integer(y * inverse) + zero;
  }
  constexpr int kFours = kVectors / 4 * 4;
#pragma GCC unroll 4
  for (int v = 0; v < kFours; v += 4) {
    const VecI four[4] = {whole[v], whole[v + 1], whole[v + 2], whole[v + 3]};
    store_bytes(row + static_cast<std::size_t>(v) * kLanes, four);
  }
#pragma GCC unroll 4
  for (int v = kFours; v < kVectors; ++v) {
    store_bytes(row + static_cast<std::size_t>(v) * kLanes, whole[v]);
  }
  for (std::size_t j = static_cast<std::size_t>(kVectors) * kLanes; j < size; j += kLanes) {
    store_bytes(row + j, zero);
  }
}

struct LookupSumU8Maker {
  using Function = decltype(&lookup_sum_u8_block<1, false>);
  template <int kVectors, bool kPartial>
  static constexpr Function function() {
    return lookup_sum_u8_block<kVectors, kPartial>;
  }
};

void lookup_sum_u8(const float* bias, std::size_t bias_step, const LookupPart* parts,
                   std::size_t count, bool relu, std::size_t n, std::size_t width,
                   const std::int32_t* order, float* scratch, std::byte* rows) {
  static constexpr SumBlocks<LookupSumU8Maker> kBlocks;
  const bool wide = width > static_cast<std::size_t>(kSumVectors) * kLanes;
  const RowsAhead ahead(parts, count, n);
  SumRow sum = {bias, parts, count, 0, relu};
  const auto pass = [&](std::size_t some) {
    sum.i += some;
    rows += some * quantized_row_size(width);
    if (bias != nullptr) sum.bias += some * bias_step;
  };
  while ((wide || width == 0) && sum.i < n) {
    const std::size_t some = smaller(kSummedRows, n - sum.i);
    sum_rows(sum, bias_step, sum.i + some, width, ahead, scratch, width);
    quantize_rows_u8(scratch, width, some, width, order, rows);
    pass(some);
  }
  while (sum.i < n) {
    ahead.reach(sum.i);
    kBlocks.run(width, sum, order, rows);
    pass(1);
  }
}

}  // namespace
}  // namespace pyrec
