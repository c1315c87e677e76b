#pragma once

// Sums of rows of tables, a block of vectors at a time, which stays in registers from the bias to
// the result.

#include "kernels/lookup_parts.inl.h"

namespace pyrec {
namespace {

// One row's sum.
struct SumRow {
  const float* bias;  // null: zeros
  const LookupPart* parts;
  std::size_t count;
  std::size_t i;
  bool relu;
};

template <class Of, int kVectors, bool kPartial>
[[gnu::always_inline]] inline void add_row(const LookupPart& part, std::size_t i,
                                           std::size_t column, std::size_t last,
                                           VecF (&sums)[kVectors]) {
  typename Of::Reader row(row_of(part, i), part.width);
  row.skip(column);
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) {
    const std::size_t j = static_cast<std::size_t>(v) * kLanes;
    sums[v] = kPartial && v + 1 == kVectors ? row.add_first(j, last, sums[v]) : row.add(j, sums[v]);
  }
}

// Sums kVectors vectors from a column on; kPartial: the last of them has `last` lanes, then zeros.
// Inlined with all of its codecs, or the sums would go through memory.
template <int kVectors, bool kPartial>
[[gnu::always_inline]] inline void sum_block(const SumRow& sum, std::size_t column,
                                             std::size_t last, VecF (&sums)[kVectors]) {
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) {
    const float* bias = sum.bias + column + static_cast<std::size_t>(v) * kLanes;
    if (sum.bias == nullptr) {
      sums[v] = VecF{};
    } else {
      sums[v] = kPartial && v + 1 == kVectors ? load_first(bias, last) : load(bias);
    }
  }
  for (std::size_t p = 0; p < sum.count; ++p) {
    const LookupPart& part = sum.parts[p];
    with_codec(part.codec, [&](auto codec) {
      add_row<decltype(codec), kVectors, kPartial>(part, sum.i, column, last, sums);
    });
  }
  const VecF low = broadcast(sum.relu ? 0.0f : -__builtin_inff());
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) sums[v] = max(low, sums[v]);
}

constexpr int kSumVectors = kLanes == 16 ? 16 : 8;  // as many as stay in registers

// The functions Maker::function<vectors, partial>() for blocks of 1, 2, ... vectors.
template <class Maker>
struct SumBlocks {
  typename Maker::Function entries[2][kSumVectors];
  constexpr SumBlocks() : entries() { fill<kSumVectors>(); }

  // Calls them for all columns of a row.
  template <class... Arguments>
  void run(std::size_t width, const Arguments&... arguments) const {
    constexpr std::size_t kColumns = kSumVectors * kLanes;
    for (std::size_t column = 0; column < width; column += kColumns) {
      const std::size_t columns = smaller(kColumns, width - column);
      const std::size_t vectors = ceil_divide(columns, kLanes);
      const std::size_t last = columns - (vectors - 1) * kLanes;
      entries[last == kLanes ? 0 : 1][vectors - 1](column, last, arguments...);
    }
  }

 private:
  template <int kVectors>
  constexpr void fill() {
    entries[0][kVectors - 1] = Maker::template function<kVectors, false>();
    entries[1][kVectors - 1] = Maker::template function<kVectors, true>();
    if constexpr (kVectors > 1) fill<kVectors - 1>();
  }
};

}  // namespace
}  // namespace pyrec
