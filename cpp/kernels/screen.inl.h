#pragma once

// Products of whole numbers of seven bits, whose sums are exact, and their comparison with what a
// score has to reach. No score is written.

#include "kernels/panels.inl.h"

namespace pyrec {
namespace {

// Queries whose sums stay in registers beside the items' numbers.
constexpr int kScreenRows = kBlockRows * 2 / 3;

struct ScreenPart {
  const std::uint8_t* queries;
  const float* scales;
  const float* least;
  const float* codes;  // of one panel
  const std::int32_t* start;
  const float* scale;
  const float* bias;
  std::size_t d;
  std::size_t first;  // item of the panel
  std::uint64_t* marks;
};

template <int kRows, int kVectors>
void screen_part(const ScreenPart& given) {
  const ScreenPart part = given;  // no mark that is written changes it
  VecU sums[kRows][kVectors];
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) {
    const VecI start = load(part.start + static_cast<std::size_t>(v) * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) sums[i][v] = reinterpret_cast<VecU>(start);
  }
  const auto* codes = reinterpret_cast<const std::byte*>(part.codes);
  constexpr std::size_t kVector = kLanes * sizeof(float), kStep = kVectors * kVector;
  const std::uint8_t* query = part.queries;
  for (std::size_t l = 0; l < part.d; l += 8, codes += 2 * kStep, query += 8) {
    VecI first[kVectors], second[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      first[v] = load_groups(codes + static_cast<std::size_t>(v) * kVector);
      second[v] = load_groups(codes + kStep + static_cast<std::size_t>(v) * kVector);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const std::uint8_t* own = query + static_cast<std::size_t>(i) * part.d;
      const VecI a = broadcast_group(own), b = broadcast_group(own + 4);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        sums[i][v] = dot_two_u8s8(sums[i][v], a, first[v], b, second[v]);
      }
    }
  }
  VecF scales[kVectors], biases[kVectors];
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) {
    scales[v] = load(part.scale + static_cast<std::size_t>(v) * kLanes);
    biases[v] = load(part.bias + static_cast<std::size_t>(v) * kLanes);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    std::uint64_t found = 0;
    const VecF own = broadcast(part.scales[i]), least = broadcast(part.least[i]);
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      const std::size_t at = static_cast<std::size_t>(v) * kLanes;
      const VecF sum = to_float(reinterpret_cast<VecI>(sums[i][v]));
      const VecF score = multiply_add(own, sum * scales[v], biases[v]);
      found |= static_cast<std::uint64_t>(set_lanes(not_less(score, least))) << at;
    }
    if (found != 0) part.marks[i] |= found << part.first;
  }
}

struct ScreenPartMaker {
  using Function = void (*)(const ScreenPart&);
  template <int kRows, int kVectors>
  static constexpr Function function() {
    return screen_part<kRows, kVectors>;
  }
};
constexpr BlockTable<ScreenPartMaker, kScreenRows> kScreenParts;

void screen_s7(const std::uint8_t* queries, const float* scales, const float* least, std::size_t m,
               const ScreenBlock& block, std::size_t d, std::uint64_t* marks) {
  for (std::size_t q = 0; q < m; ++q) marks[q] = 0;
  if (m == 0) return;
  const Panels panels = panels_of(kScreenItems);
  const Parts row_blocks = parts_of(m, kScreenRows);
  std::size_t column = 0;
  for (std::size_t p = 0; p < panels.count; ++p) {
    const std::size_t width = panels.width(p);
    ScreenPart part;
    part.codes = block.codes + column * (d / 4);
    part.start = block.start + column;
    part.scale = block.scale + column;
    part.bias = block.bias + column;
    part.d = d;
    part.first = column;
    for (std::size_t r = 0, row = 0; r < row_blocks.count; ++r) {
      const std::size_t count = row_blocks.size(r);
      part.queries = queries + row * d;
      part.scales = scales + row;
      part.least = least + row;
      part.marks = marks + row;
      kScreenParts.entries[count - 1][width / kLanes - 1](part);
      row += count;
    }
    column += width;
  }
}

}  // namespace
}  // namespace pyrec
