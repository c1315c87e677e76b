#pragma once

// The order of the numbers that a layer multiplies, which its result does not depend on. A product
// skips groups of zeros, so that numbers which are likely to be zero are best next to each other.
// Numbers change places within whole vectors only, of this ISA's width, as kernels of one table
// agree on.

#include "dispatch/kernels.h"
#include "kernels/gemm_groups_sparse.inl.h"
#include "kernels/pack_s8.inl.h"

namespace pyrec {
namespace {

void order_lanes(const float* x, std::size_t n, std::int32_t* order) {
  std::int32_t lanes[kLanes];
  for (std::size_t i = 0; i < kLanes; ++i) lanes[i] = static_cast<std::int32_t>(i);
  const VecI lane = load(lanes);
  std::size_t j = 0;
  for (; j + kLanes <= n; j += kLanes) {
    // Integers that rise with the numbers, no two alike: NaN has a place, too.
    const VecI from = reinterpret_cast<VecI>(bits(load(x + j)));
    const VecI rising = from ^ ((from >> 31) & 0x7fffffff);
    const VecI key = (rising & ~static_cast<std::int32_t>(kLanes - 1)) | lane;
    VecI rank{};
    for (std::size_t i = 0; i < kLanes; ++i) rank = rank - (broadcast(key[i]) > key);
    for (std::size_t i = 0; i < kLanes; ++i)
      order[j + static_cast<std::size_t>(rank[i])] = lanes[i];
  }
  for (std::size_t i = 0; j < n; ++i, ++j) order[j] = static_cast<std::int32_t>(i);
}

// Where the elements of the groups of one vector of rows come from.
template <std::size_t kEach>
struct GroupOrder {
  static constexpr std::size_t kGroups = kLanes / kEach;
  static constexpr std::size_t kBits = 8 * kGroupBytes / kEach;
  static constexpr std::uint32_t kMask = (std::uint32_t{1} << kBits) - 1;

  GroupOrder(const std::int32_t* order, std::size_t step) {
    for (std::size_t i = 0; i < kLanes; ++i) {
      const auto row = static_cast<std::size_t>(order[i]);
      offsets[i] = row / kEach * step;
      shifts[i] = static_cast<std::uint32_t>(row % kEach * kBits);
    }
  }
  VecU group(const std::byte* block, std::size_t g) const {
    VecU made{};
#pragma GCC unroll 4
    for (std::size_t e = 0; e < kEach; ++e) {
      const std::size_t i = g * kEach + e;
      const VecU from = reinterpret_cast<VecU>(load_groups(block + offsets[i]));
      made = made | (((from >> shifts[i]) & kMask) << static_cast<std::uint32_t>(e * kBits));
    }
    return made;
  }

  std::size_t offsets[kLanes];  // bytes
  std::uint32_t shifts[kLanes];
};

// The groups of a matrix that is packed for gemm_groups_sparse, with rows in another order.
template <std::size_t kEach>
void reorder_groups(const std::byte* packed, const std::int32_t* order, std::size_t k,
                    std::size_t n, std::byte* out) {
  if (n == 0) return;
  const std::size_t groups = ceil_divide(k, kEach);
  const Panels panels = panels_of(n, widest_sparse_panel(groups, n));
  for (std::size_t p = 0; p < panels.count; ++p) {
    const std::size_t step = panels.width(p) * kGroupBytes;
    std::size_t l = 0;
    for (; (l + GroupOrder<kEach>::kGroups) * kEach <= k; l += GroupOrder<kEach>::kGroups) {
      const GroupOrder<kEach> from(order + l * kEach, step);
      for (std::size_t g = 0; g < GroupOrder<kEach>::kGroups; ++g) {
        std::byte* to = out + (l + g) * step;
        for (std::size_t place = 0; place < step; place += kLanes * kGroupBytes) {
          store(reinterpret_cast<std::int32_t*>(to + place),
                from.group(packed + l * step + place, g));
        }
      }
    }
    __builtin_memcpy(out + l * step, packed + l * step, (groups - l) * step);
    packed += groups * step;
    out += groups * step;
  }
}

void reorder_s8(const std::byte* packed, const std::int32_t* order, std::size_t k, std::size_t n,
                std::byte* out) {
  reorder_groups<4>(packed, order, k, n, out);
  const std::size_t size = groups_size(k, n, 4);
  __builtin_memcpy(out + size, packed + size, packed_size_s8(k, n) - size);
}

void reorder_bf16(const std::byte* packed, const std::int32_t* order, std::size_t k, std::size_t n,
                  std::byte* out) {
  reorder_groups<2>(packed, order, k, n, out);
}

}  // namespace
}  // namespace pyrec
