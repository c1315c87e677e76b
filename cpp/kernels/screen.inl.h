#pragma once

// Products of whole numbers of seven bits, whose sums are exact, and their comparison with what a
// score has to reach. No score is written.

#include "kernels/panels.inl.h"

namespace pyrec {
namespace {

// Queries whose sums stay in registers beside the items' numbers, and the panels of these: where a
// product and its sum are one instruction, that of a step waits for the last one's, and it takes
// many sums to keep a core busy meanwhile.
constexpr int kScreenPanels = kDotsBytes && kBlockVectors > 2 ? 2 : 1;
constexpr int kScreenRows = kBlockRows * 2 / 3;

// Codes of kScreenPanels panels' items, and some queries.
struct CodePart {
  const std::uint8_t* queries;
  const float* scales;
  const float* codes;
  const std::int32_t* start;
  const float* scale;
  const float* bias;
  std::size_t d;
};

// put(i, scores) with those of each query. What it writes does not change the part.
template <int kRows, int kVectors, class Put>
[[gnu::always_inline]] inline void multiply_part(const CodePart part, Put put) {
  constexpr int kAll = kVectors * kScreenPanels;
  VecU sums[kRows][kAll];
#pragma GCC unroll 16
  for (int v = 0; v < kAll; ++v) {
    const VecI start = load(part.start + static_cast<std::size_t>(v) * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) sums[i][v] = reinterpret_cast<VecU>(start);
  }
  const auto* codes = reinterpret_cast<const std::byte*>(part.codes);
  constexpr std::size_t kVector = kLanes * sizeof(float), kStep = kVectors * kVector;
  const std::size_t panel = part.d / sizeof(float) * kStep;
  const auto load_step = [&](VecI(&step)[kAll], std::size_t at) __attribute__((always_inline)) {
#pragma GCC unroll 16
    for (int v = 0; v < kAll; ++v) {
      const auto p = static_cast<std::size_t>(v / kVectors);
      const auto in = static_cast<std::size_t>(v % kVectors);
      step[v] = load_groups(codes + p * panel + at + in * kVector);
    }
  };
  const std::uint8_t* query = part.queries;
  if constexpr (kScreenPanels > 1) {
    for (std::size_t l = 0; l < part.d; l += 4, codes += kStep, query += 4) {
      VecI step[kAll];
      load_step(step, 0);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const VecI own = broadcast_group(query + static_cast<std::size_t>(i) * part.d);
#pragma GCC unroll 16
        for (int v = 0; v < kAll; ++v) {
          sums[i][v] = dot_u8s8(sums[i][v], own, step[v]);
          // GCC keeps a second copy of each in memory otherwise.
          hold(reinterpret_cast<VecI&>(sums[i][v]));
        }
      }
    }
  } else {
    for (std::size_t l = 0; l < part.d; l += 8, codes += 2 * kStep, query += 8) {
      VecI first[kAll], second[kAll];
      load_step(first, 0);
      load_step(second, kStep);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const std::uint8_t* own = query + static_cast<std::size_t>(i) * part.d;
        const VecI a = broadcast_group(own), b = broadcast_group(own + 4);
#pragma GCC unroll 16
        for (int v = 0; v < kAll; ++v) {
          sums[i][v] = dot_two_u8s8(sums[i][v], a, first[v], b, second[v]);
        }
      }
    }
  }
  VecF scales[kAll], biases[kAll];
#pragma GCC unroll 16
  for (int v = 0; v < kAll; ++v) {
    scales[v] = load(part.scale + static_cast<std::size_t>(v) * kLanes);
    biases[v] = load(part.bias + static_cast<std::size_t>(v) * kLanes);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    const VecF own = broadcast(part.scales[i]);
    VecF scores[kAll];
#pragma GCC unroll 16
    for (int v = 0; v < kAll; ++v) {
      const VecF sum = to_float(reinterpret_cast<VecI>(sums[i][v]));
      scores[v] = multiply_add(own, sum * scales[v], biases[v]);
    }
    put(i, scores);
  }
}

struct MarkedScores {
  const float* least;
  std::size_t first;  // item of the panel
  std::uint64_t* marks;
};

template <int kRows, int kVectors>
void screen_part(const CodePart& part, const MarkedScores& given) {
  const MarkedScores to = given;
  constexpr int kAll = kVectors * kScreenPanels;
  const auto put = [&](int i, const VecF(&scores)[kAll]) __attribute__((always_inline)) {
    std::uint64_t found = 0;
    const VecF least = broadcast(to.least[i]);
#pragma GCC unroll 16
    for (int v = 0; v < kAll; ++v) {
      const std::size_t at = static_cast<std::size_t>(v) * kLanes;
      found |= static_cast<std::uint64_t>(set_lanes(not_less(scores[v], least))) << at;
    }
    if (found != 0) to.marks[i] |= found << to.first;
  };
  multiply_part<kRows, kVectors>(part, put);
}

struct StoredScores {
  float* to;
  std::size_t step;  // from a query to the next
};

template <int kRows, int kVectors>
void score_part(const CodePart& part, const StoredScores& given) {
  const StoredScores scored = given;
  constexpr int kAll = kVectors * kScreenPanels;
  const auto put = [&](int i, const VecF(&scores)[kAll]) __attribute__((always_inline)) {
    float* const to = scored.to + static_cast<std::size_t>(i) * scored.step;
#pragma GCC unroll 16
    for (int v = 0; v < kAll; ++v) store(to + static_cast<std::size_t>(v) * kLanes, scores[v]);
  };
  multiply_part<kRows, kVectors>(part, put);
}

struct ScreenPartMaker {
  using Function = void (*)(const CodePart&, const MarkedScores&);
  template <int kRows, int kVectors>
  static constexpr Function function() {
    return screen_part<kRows, kVectors>;
  }
};
constexpr BlockTable<ScreenPartMaker, kScreenRows> kScreenParts;

struct ScorePartMaker {
  using Function = void (*)(const CodePart&, const StoredScores&);
  template <int kRows, int kVectors>
  static constexpr Function function() {
    return score_part<kRows, kVectors>;
  }
};
constexpr BlockTable<ScorePartMaker, kScreenRows> kScoreParts;

// run(part, queries, vectors, first query, first item) for all parts of a block.
template <class Run>
[[gnu::always_inline]] inline void each_part(const std::uint8_t* queries, const float* scales,
                                             std::size_t m, const ScreenBlock& block, std::size_t d,
                                             Run run) {
  if (m == 0) return;
  const Panels panels = panels_of(kScreenItems);  // all of one width
  const Parts row_blocks = parts_of(m, kScreenRows);
  std::size_t column = 0;
  for (std::size_t p = 0; p < panels.count; p += kScreenPanels) {
    const std::size_t width = panels.width(p);
    CodePart part;
    part.codes = block.codes + column * (d / 4);
    part.start = block.start + column;
    part.scale = block.scale + column;
    part.bias = block.bias + column;
    part.d = d;
    for (std::size_t r = 0, row = 0; r < row_blocks.count; ++r) {
      const std::size_t count = row_blocks.size(r);
      part.queries = queries + row * d;
      part.scales = scales + row;
      run(part, count, width / kLanes, row, column);
      row += count;
    }
    column += width * kScreenPanels;
  }
}

void screen_s7(const std::uint8_t* queries, const float* scales, const float* least, std::size_t m,
               const ScreenBlock& block, std::size_t d, std::uint64_t* marks) {
  for (std::size_t q = 0; q < m; ++q) marks[q] = 0;
  each_part(queries, scales, m, block, d,
            [&](const CodePart& part, std::size_t rows, std::size_t vectors, std::size_t query,
                std::size_t item) __attribute__((always_inline)) {
              const MarkedScores to{least + query, item, marks + query};
              kScreenParts.entries[rows - 1][vectors - 1](part, to);
            });
}

void score_s7(const std::uint8_t* queries, const float* scales, std::size_t m,
              const ScreenBlock& block, std::size_t d, float* scores, std::size_t step) {
  each_part(queries, scales, m, block, d,
            [&](const CodePart& part, std::size_t rows, std::size_t vectors, std::size_t query,
                std::size_t item) __attribute__((always_inline)) {
              const StoredScores to{scores + query * step + item, step};
              kScoreParts.entries[rows - 1][vectors - 1](part, to);
            });
}

}  // namespace
}  // namespace pyrec
