#pragma once

// Screens of few queries: vectors are multiplied where they lie, since it would take longer to lay
// them out. What they wait for is memory, which a core reads fastest row by row in a few streams.

#include "kernels/panels.inl.h"
#include "kernels/prefetch.inl.h"

namespace pyrec {
namespace {

// Queries whose sums of long rows stay in cache beside what is read.
constexpr std::size_t kTurnQueries = 4;

// Codes of d numbers, d a multiple of 8; products lane by lane. Of kSteps pairs of vectors where
// that is not 0.
template <int kSteps>
[[gnu::always_inline]] inline VecU dot_code_lanes(const std::uint8_t* query, const std::byte* row,
                                                  std::size_t d) {
  constexpr std::size_t kVector = kLanes * sizeof(float), kStep = 2 * kVector;
  const auto* own = reinterpret_cast<const std::byte*>(query);
  VecU sum{};
  const auto step = [&](std::size_t j) __attribute__((always_inline)) {
    sum = dot_two_u8s8(sum, load_groups(own + j), load_groups(row + j),
                       load_groups(own + j + kVector), load_groups(row + j + kVector));
  };
  if constexpr (kSteps > 0) {
#pragma GCC unroll 16
    for (int j = 0; j < kSteps; ++j) step(static_cast<std::size_t>(j) * kStep);
    return sum;
  }
  std::size_t j = 0;
  for (; j + kStep <= d; j += kStep) step(j);
  if (j + kVector <= d) {
    sum = dot_u8s8(sum, load_groups(own + j), load_groups(row + j));
    j += kVector;
  }
  if (j < d) {
    const std::size_t rest = (d - j) / sizeof(float);
    sum = dot_u8s8(sum, load_first_groups(own + j, rest), load_first_groups(row + j, rest));
  }
  return sum;
}

// Marks the items of one vector of scores that are not less.
[[gnu::always_inline]] inline void put(const ScreenRows& block, std::size_t q, std::size_t first,
                                       VecF scores) {
  const Mask found = not_less(scores, broadcast(block.least[q]));
  block.marks[q] |= static_cast<std::uint64_t>(set_lanes(found)) << first;
}

[[gnu::always_inline]] inline void put(const ScoreRows& block, std::size_t q, std::size_t first,
                                       VecF scores) {
  store(block.scores + q * kScreenItems + first, scores);
}

// What comes so much later is brought into cache.
[[gnu::always_inline]] inline void prefetch_ahead(const std::byte* row, std::size_t bytes) {
  if constexpr (kBytesAhead > 0) {
    for (std::size_t at = 0; at < bytes; at += kLineBytes) {
      __builtin_prefetch(row + kBytesAhead + at);
    }
  }
}

// Items `begin` to `end` of each block, one block after the other.
template <class Sum, class Block, class Dot, class Score>
[[gnu::always_inline]] inline void multiply_short_rows(std::size_t m, const Block* blocks,
                                                       std::size_t count, std::size_t bytes,
                                                       std::size_t begin, std::size_t end, Dot dot,
                                                       Score score) {
  for (std::size_t s = 0; s < count; ++s) {
    const Block& block = blocks[s];
    for (std::size_t q = 0; q < m; ++q) {
      for (std::size_t i = begin; i < end; i += kLanes) {
        const std::byte* row = block.rows + i * block.step;
        Sum sums[kLanes];
#pragma GCC unroll 16
        for (std::size_t r = 0; r < kLanes; ++r) {
          if (q == 0) prefetch_ahead(row + r * block.step, bytes);
          sums[r] = dot(q, row + r * block.step);
        }
        put(block, q, i, score(q, block, i, sum_each(sums)));
      }
    }
  }
}

// A vector of items of each block, `turn` rows of one block before those of the next.
template <class Sum, class Block, class Dot, class Score>
[[gnu::always_inline]] inline void multiply_long_rows(std::size_t m, const Block* blocks,
                                                      std::size_t count, std::size_t i,
                                                      std::size_t turn, Dot dot, Score score) {
  Sum sums[kScreenStreams][kTurnQueries][kLanes];
  for (std::size_t first = 0; first < m; first += kTurnQueries) {
    const std::size_t together = smaller(kTurnQueries, m - first);
    for (std::size_t begin = 0; begin < kLanes; begin += turn) {
      const std::size_t end = smaller(begin + turn, kLanes);
      for (std::size_t s = 0; s < count; ++s) {
        for (std::size_t r = begin; r < end; ++r) {
          const std::byte* row = blocks[s].rows + (i + r) * blocks[s].step;
          for (std::size_t q = 0; q < together; ++q) sums[s][q][r] = dot(first + q, row);
        }
      }
    }
    for (std::size_t s = 0; s < count; ++s) {
      for (std::size_t q = 0; q < together; ++q) {
        put(blocks[s], first + q, i, score(first + q, blocks[s], i, sum_each(sums[s][q])));
      }
    }
  }
}

// dot(query, row) gives products lane by lane; score(query, block, first, sums) those of a vector
// of items.
template <class Block, class Dot, class Score>
inline void multiply_rows(std::size_t m, const Block* blocks, std::size_t count, std::size_t bytes,
                          Dot dot, Score score) {
  using Sum = decltype(dot(std::size_t{}, static_cast<const std::byte*>(nullptr)));
  const std::size_t turn = smaller(kTurnBytes / (bytes + 1), kScreenItems);
  if (turn < kLanes) {
    for (std::size_t i = 0; i < kScreenItems; i += kLanes) {
      multiply_long_rows<Sum>(m, blocks, count, i, turn < 1 ? 1 : turn, dot, score);
    }
    return;
  }
  const std::size_t together = turn / kLanes * kLanes;
  for (std::size_t i = 0; i < kScreenItems; i += together) {
    multiply_short_rows<Sum>(m, blocks, count, bytes, i, smaller(i + together, kScreenItems), dot,
                             score);
  }
}

template <int kSteps, class Block>
void multiply_codes_of(const std::uint8_t* queries, const float* scales, std::size_t m,
                       const Block* blocks, std::size_t count, std::size_t d) {
  const auto dot = [=](std::size_t q, const std::byte* row) __attribute__((always_inline)) {
    return dot_code_lanes<kSteps>(queries + q * d, row, d);
  };
  const auto score = [=](std::size_t q, const Block& block, std::size_t i, VecU sums) {
    const VecI whole = reinterpret_cast<VecI>(sums + reinterpret_cast<VecU>(load(block.start + i)));
    return multiply_add(broadcast(scales[q]), to_float(whole) * load(block.scale + i),
                        load(block.bias + i));
  };
  multiply_rows(m, blocks, count, d, dot, score);
}

// Widths that are usual have loops of their own.
template <class Block>
void multiply_codes(const std::uint8_t* queries, const float* scales, std::size_t m,
                    const Block* blocks, std::size_t count, std::size_t d) {
  constexpr std::size_t kStep = 2 * kLanes * sizeof(float);
  const auto run = d == kStep       ? multiply_codes_of<1, Block>
                   : d == 2 * kStep ? multiply_codes_of<2, Block>
                   : d == 4 * kStep ? multiply_codes_of<4, Block>
                                    : multiply_codes_of<0, Block>;
  run(queries, scales, m, blocks, count, d);
}

inline void clear_marks(std::size_t m, const ScreenRows* blocks, std::size_t count) {
  for (std::size_t s = 0; s < count; ++s) {
    for (std::size_t q = 0; q < m; ++q) blocks[s].marks[q] = 0;
  }
}

void screen_rows_s7(const std::uint8_t* queries, const float* scales, std::size_t m,
                    const ScreenRows* blocks, std::size_t count, std::size_t d) {
  clear_marks(m, blocks, count);
  multiply_codes(queries, scales, m, blocks, count, d);
}

void score_rows_s7(const std::uint8_t* queries, const float* scales, std::size_t m,
                   const ScoreRows* blocks, std::size_t count, std::size_t d) {
  multiply_codes(queries, scales, m, blocks, count, d);
}

}  // namespace
}  // namespace pyrec
