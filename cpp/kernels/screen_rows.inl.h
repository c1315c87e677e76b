#pragma once

// Screens of few queries: vectors are multiplied where they lie, since it would take longer to lay
// them out. What they wait for is memory, which a core reads fastest row by row in a few streams.

#include "kernels/panels.inl.h"

namespace pyrec {
namespace {

// Bytes of one stream that are read before some of the next.
constexpr std::size_t kTurnBytes = 1024;

// Queries whose sums stay in cache beside what is read.
constexpr std::size_t kTurnQueries = 4;

// Codes of d numbers, d a multiple of 8; products lane by lane.
inline VecU dot_code_lanes(const std::uint8_t* query, const std::byte* row, std::size_t d) {
  constexpr std::size_t kVector = kLanes * sizeof(float), kStep = 2 * kVector;
  const auto* own = reinterpret_cast<const std::byte*>(query);
  VecU sum{};
  std::size_t j = 0;
  for (; j + kStep <= d; j += kStep) {
    sum = dot_two_u8s8(sum, load_groups(own + j), load_groups(row + j),
                       load_groups(own + j + kVector), load_groups(row + j + kVector));
  }
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

// dot(query, row) gives products lane by lane; score(query, block, first, sums) those of a vector
// of items.
template <class Dot, class Score>
inline void screen_rows(std::size_t m, const ScreenRows* blocks, std::size_t count,
                        std::size_t bytes, Dot dot, Score score) {
  using Sum = decltype(dot(std::size_t{}, static_cast<const std::byte*>(nullptr)));
  const std::size_t fit = kTurnBytes / (bytes + 1), turn = fit < 1 ? 1 : smaller(fit, kLanes);
  for (std::size_t s = 0; s < count; ++s) {
    for (std::size_t q = 0; q < m; ++q) blocks[s].marks[q] = 0;
  }
  Sum sums[kScreenStreams][kTurnQueries][kLanes];
  for (std::size_t first = 0; first < m; first += kTurnQueries) {
    const std::size_t together = smaller(kTurnQueries, m - first);
    for (std::size_t i = 0; i < kScreenItems; i += kLanes) {
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
          const VecF least = broadcast(blocks[s].least[first + q]);
          const Mask found = not_less(score(first + q, blocks[s], i, sum_each(sums[s][q])), least);
          blocks[s].marks[first + q] |= static_cast<std::uint64_t>(set_lanes(found)) << i;
        }
      }
    }
  }
}

void screen_rows_s7(const std::uint8_t* queries, const float* scales, std::size_t m,
                    const ScreenRows* blocks, std::size_t count, std::size_t d) {
  const auto dot = [=](std::size_t q, const std::byte* row) {
    return dot_code_lanes(queries + q * d, row, d);
  };
  const auto score = [=](std::size_t q, const ScreenRows& block, std::size_t i, VecU sums) {
    const VecI whole = reinterpret_cast<VecI>(sums + reinterpret_cast<VecU>(load(block.start + i)));
    return multiply_add(broadcast(scales[q]), to_float(whole) * load(block.scale + i),
                        load(block.bias + i));
  };
  screen_rows(m, blocks, count, d, dot, score);
}

}  // namespace
}  // namespace pyrec
