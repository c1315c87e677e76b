#pragma once

// Sums of rows of tables.

#include "kernels/gemm.inl.h"
#include "kernels/lookup_sum_block.inl.h"

namespace pyrec {
namespace {

template <int kVectors, bool kPartial>
void lookup_sum_block(std::size_t column, std::size_t last, const SumRow& sum, float* row) {
  VecF sums[kVectors];
  sum_block<kVectors, kPartial>(sum, column, last, sums);
  row += column;
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) {
    float* p = row + static_cast<std::size_t>(v) * kLanes;
    if (kPartial && v + 1 == kVectors) {
      store_first(p, sums[v], last);
    } else {
      store(p, sums[v]);
    }
  }
}

struct LookupSumMaker {
  using Function = decltype(&lookup_sum_block<1, false>);
  template <int kVectors, bool kPartial>
  static constexpr Function function() {
    return lookup_sum_block<kVectors, kPartial>;
  }
};

// Adds parts of one number a row.
template <class Of>
inline void add_numbers(const LookupPart& part, std::size_t n, float* out, std::size_t out_step) {
  constexpr std::size_t kAhead = 32;
  for (std::size_t i = 0; i < n; ++i) {
    if (part.far && i + kAhead < n) prefetch_bytes(row_of(part, i + kAhead), 1);
    out[i * out_step] += typename Of::Reader(row_of(part, i), 1).number();
  }
}

void lookup_sum_numbers(const float* bias, std::size_t bias_step, const LookupPart* parts,
                        std::size_t count, bool relu, std::size_t n, float* out,
                        std::size_t out_step) {
  for (std::size_t i = 0; i < n; ++i) {
    out[i * out_step] = bias == nullptr ? 0.0f : bias[i * bias_step];
  }
  for (std::size_t p = 0; p < count; ++p) {
    with_codec(parts[p].codec,
               [&](auto codec) { add_numbers<decltype(codec)>(parts[p], n, out, out_step); });
  }
  if (!relu) return;
  for (std::size_t i = 0; i < n; ++i) {
    float& y = out[i * out_step];
    if (y < 0.0f) y = 0.0f;
  }
}

void lookup_sum_f32(const float* bias, std::size_t bias_step, const LookupPart* parts,
                    std::size_t count, Activation activation, std::size_t n, std::size_t width,
                    float* out, std::size_t out_step) {
  static constexpr SumBlocks<LookupSumMaker> kBlocks;
  const bool relu = activation == Activation::kRelu;
  if (width == 1 && activation <= Activation::kRelu) {
    lookup_sum_numbers(bias, bias_step, parts, count, relu, n, out, out_step);
    return;
  }
  const RowsAhead ahead(parts, count, n);
  SumRow sum = {bias, parts, count, 0, relu};
  for (; sum.i < n; ++sum.i, out += out_step) {
    ahead.reach(sum.i);
    kBlocks.run(width, sum, out);
    if (activation > Activation::kRelu) activate(activation, out, 0, 1, width);
    if (bias != nullptr) sum.bias += bias_step;
  }
}

}  // namespace
}  // namespace pyrec
