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

// Rows of a bias and one part, from row sum.i to `end`; with no call for each.
template <class Of>
void sum_one_part(SumRow sum, std::size_t bias_step, std::size_t end, std::size_t width,
                  const RowsAhead& ahead, float* out, std::size_t out_step) {
  constexpr std::size_t kBlock = 8 * kLanes;
  const VecF low = broadcast(sum.relu ? 0.0f : -__builtin_inff());
  for (; sum.i < end; ++sum.i, out += out_step, sum.bias += bias_step) {
    ahead.reach(sum.i);
    typename Of::Reader row(row_of(*sum.parts, sum.i), width);
    std::size_t column = 0;
    for (; column + kBlock <= width; column += kBlock, row.skip(kBlock)) {
#pragma GCC unroll 8
      for (std::size_t j = 0; j < kBlock; j += kLanes) {
        store(out + column + j, max(low, row.add(j, load(sum.bias + column + j))));
      }
    }
    for (; column + kLanes <= width; column += kLanes, row.skip(kLanes)) {
      store(out + column, max(low, row.add(0, load(sum.bias + column))));
    }
    if (column < width) {
      const std::size_t last = width - column;
      const VecF bias = load_first(sum.bias + column, last);
      store_first(out + column, max(low, row.add_first(0, last, bias)), last);
    }
  }
}

// The sums of rows from sum.i to `end`.
inline void sum_rows(SumRow sum, std::size_t bias_step, std::size_t end, std::size_t width,
                     const RowsAhead& ahead, float* out, std::size_t out_step) {
  static constexpr SumBlocks<LookupSumMaker> kBlocks;
  if (sum.count == 1 && sum.bias != nullptr) {
    with_codec(sum.parts->codec, [&](auto codec) {
      sum_one_part<decltype(codec)>(sum, bias_step, end, width, ahead, out, out_step);
    });
    return;
  }
  for (; sum.i < end; ++sum.i, out += out_step) {
    ahead.reach(sum.i);
    kBlocks.run(width, sum, out);
    if (sum.bias != nullptr) sum.bias += bias_step;
  }
}

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
  const bool relu = activation == Activation::kRelu;
  if (width == 1 && activation <= Activation::kRelu) {
    lookup_sum_numbers(bias, bias_step, parts, count, relu, n, out, out_step);
    return;
  }
  sum_rows({bias, parts, count, 0, relu}, bias_step, n, width, RowsAhead(parts, count, n), out,
           out_step);
  if (activation > Activation::kRelu) activate(activation, out, out_step, n, width);
}

}  // namespace
}  // namespace pyrec
