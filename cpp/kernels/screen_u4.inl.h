#pragma once

// A screen by codes of four bits, two in a byte: half of what codes of seven bits take to read.
// Items lie side by side, so that their sums need not be added up across lanes, whatever the width.

#include <cstddef>
#include <cstdint>

#include "kernels/prefetch.inl.h"

namespace pyrec {
namespace {

constexpr int kPanelVectors =
    kScreenItems / kLanes < 8 ? static_cast<int>(kScreenItems / kLanes) : 8;
constexpr std::size_t kPanelItems = kPanelVectors * kLanes;
static_assert(kScreenItems % kPanelItems == 0);

// Of kPanelItems items, from `first` on, those that a query's scores mark. With kAhead what comes
// next is brought into cache, a group with each.
template <bool kAhead>
[[gnu::always_inline]] inline std::uint64_t screen_panel(const std::int8_t* query,
                                                         std::int32_t start, float scale,
                                                         float size, float least,
                                                         const ScreenPanels& block,
                                                         std::size_t half, std::size_t first) {
  constexpr std::size_t kVector = kLanes * sizeof(float), kGroup = kScreenItems * sizeof(float);
  constexpr std::uint32_t kLower = 0x0f0f0f0f;
  const auto* own = reinterpret_cast<const std::uint8_t*>(query);
  const std::byte* codes = block.codes + first * sizeof(float);
  VecU sums[kPanelVectors];
#pragma GCC unroll 16
  for (VecU& sum : sums) sum = VecU{} + static_cast<std::uint32_t>(start);
  for (std::size_t l = 0; l < half; l += 4, codes += kGroup) {
    if constexpr (kAhead) {
#pragma GCC unroll 16
      for (std::size_t at = 0; at < kGroup; at += kLineBytes) {
        __builtin_prefetch(block.next + l * kScreenItems + at);
      }
    }
    const VecI a = broadcast_group(own + l), b = broadcast_group(own + half + l);
#pragma GCC unroll 16
    for (int v = 0; v < kPanelVectors; ++v) {
      const auto both =
          reinterpret_cast<VecU>(load_groups(codes + static_cast<std::size_t>(v) * kVector));
      sums[v] = dot_two_u8s8(sums[v], reinterpret_cast<VecI>(both & kLower), a,
                             reinterpret_cast<VecI>((both >> 4) & kLower), b);
    }
  }
  std::uint64_t marks = 0;
  const VecF scales = broadcast(scale), sizes = broadcast(size), bound = broadcast(least);
#pragma GCC unroll 16
  for (int v = 0; v < kPanelVectors; ++v) {
    const std::size_t at = first + static_cast<std::size_t>(v) * kLanes;
    const auto details =
        reinterpret_cast<VecU>(load_groups(reinterpret_cast<const std::byte*>(block.details + at)));
    const VecF left = multiply_add(sizes, from_bits(details << 16), load(block.bias + at));
    const VecF products = to_float(reinterpret_cast<VecI>(sums[v]));
    const VecF score = multiply_add(scales, products * from_bits(details & 0xffff0000u), left);
    marks |= static_cast<std::uint64_t>(set_lanes(not_less(score, bound))) << at;
  }
  return marks;
}

void screen_u4(const std::int8_t* queries, const std::int32_t* starts, const float* scales,
               const float* sizes, std::size_t m, const ScreenPanels* blocks, std::size_t count,
               std::size_t d) {
  const std::size_t half = d / 2;
  for (std::size_t s = 0; s < count; ++s) {
    const ScreenPanels& block = blocks[s];
    for (std::size_t q = 0; q < m; ++q) {
      const auto screen = [&](auto panel, std::size_t first) __attribute__((always_inline)) {
        return panel(queries + q * d, starts[q], scales[q], sizes[q], block.least[q], block, half,
                     first);
      };
      std::uint64_t marks = q == 0 ? screen(screen_panel<true>, 0) : screen(screen_panel<false>, 0);
      for (std::size_t i = kPanelItems; i < kScreenItems; i += kPanelItems) {
        marks |= screen(screen_panel<false>, i);
      }
      block.marks[q] = marks;
    }
  }
}

}  // namespace
}  // namespace pyrec
