#pragma once

// From float32 to the right operand of gemm_u8s8. The same numbers on every ISA.

#include "dispatch/kernels.h"
#include "kernels/gemm_groups.inl.h"
#include "kernels/gemm_groups_sparse.inl.h"
#include "kernels/gemm_runs.inl.h"
#include "kernels/quantization.inl.h"

namespace pyrec {
namespace {

inline std::size_t packed_size_s8(std::size_t k, std::size_t n) {
  const std::size_t vectors = ceil_divide(n, kLanes);
  return groups_size(k, n, 4) + vectors * (kLanes * 2 + run_list_size(k)) * sizeof(float);
}

// What the sums of each packed column start from; see DotU8S8.
inline void set_corrections(const std::byte* packed, std::size_t k, std::size_t n,
                            std::size_t widest, std::int32_t* corrections) {
  const std::size_t groups = ceil_divide(k, 4);
  const VecI ones = broadcast(std::int32_t{0x01010101});
  const Panels panels = panels_of(n, widest);
  for (std::size_t p = 0; p < panels.count; ++p) {
    const std::size_t step = panels.width(p) * kGroupBytes;
    for (std::size_t place = 0; place < step; place += kLanes * kGroupBytes) {
      VecU sum{};
      for (std::size_t l = 0; l < groups; ++l) {
        sum = dot_u8s8(sum, ones, load_groups(packed + l * step + place));
      }
      store(corrections, VecU{} - sum * static_cast<std::uint32_t>(kZeroPoint));
      corrections += kLanes;
    }
    packed += groups * step;
  }
}

// Brings the groups of each panel into runs; see gemm_runs.
template <class Runs>
void order_runs(std::byte* packed, std::size_t k, std::size_t n) {
  if (n == 0) return;
  const std::size_t groups = ceil_divide(k, 4);
  const std::size_t padded = ceil_divide(n, kLanes) * kLanes;
  auto* list =
      reinterpret_cast<std::uint32_t*>(packed + groups_size(k, n, 4) + padded * 2 * sizeof(float));
  static constexpr BlockTable<OrderPanelMaker<Runs>, 1, Runs::kVectors> kPanels;
  const Panels panels = panels_of(n, Runs::kVectors);
  for (std::size_t p = 0; p < panels.count; ++p) {
    const std::size_t width = panels.width(p);
    kPanels.entries[0][width / kLanes - 1](packed, groups, list);
    packed += groups * width * kGroupBytes;
    list += width / kLanes * run_list_size(k);
  }
}

template <class Columns>
void pack_s8_from(const Columns& b, std::size_t k, std::size_t n, std::size_t widest,
                  std::byte* packed) {
  const std::size_t padded = ceil_divide(n, kLanes) * kLanes;
  float* scales = reinterpret_cast<float*>(packed + groups_size(k, n, 4));
  auto* corrections = reinterpret_cast<std::int32_t*>(scales + padded);
  for (std::size_t j = 0; j < padded; j += kLanes) {
    VecU largest[4] = {};
    std::size_t l = 0;
    for (; l + 4 <= k; l += 4) {
#pragma GCC unroll 4
      for (std::size_t e = 0; e < 4; ++e) {
        largest[e] = max(largest[e], bits(b(l + e, j)) & kMagnitude);
      }
    }
    for (; l < k; ++l) largest[0] = max(largest[0], bits(b(l, j)) & kMagnitude);
    const VecU whole = max(max(largest[0], largest[1]), max(largest[2], largest[3]));
    for (std::size_t i = 0; i < kLanes; ++i) {
      const Quantization column = quantization_of(whole[i], kColumnLevels);
      scales[j + i] = column.scale;
      // Kept here until the elements are packed.
      __builtin_memcpy(corrections + j + i, &column.inverse, sizeof column.inverse);
    }
  }
  pack_groups<4>(k, n, widest, packed, [=](std::size_t l, std::size_t j) {
    const VecF inverse = from_bits(reinterpret_cast<VecU>(load(corrections + j)));
    // Infinity times zero is not a number.
    const VecF scaled = select(equal(inverse, VecF{}), VecF{}, b(l, j) * inverse);
    return reinterpret_cast<VecU>(to_integer(scaled));
  });
  set_corrections(packed, k, n, widest, corrections);
}

inline void pack_panels_s8(const float* b, std::size_t k, std::size_t n, std::size_t row_step,
                           std::size_t column_step, std::size_t widest, std::byte* packed) {
  if (n == 0) return;
  with_columns(b, n, row_step, column_step,
               [=](const auto& columns) { pack_s8_from(columns, k, n, widest, packed); });
}

template <class Runs>
void pack_in_runs(const float* b, std::size_t k, std::size_t n, std::size_t row_step,
                  std::size_t column_step, std::byte* packed) {
  if constexpr (Runs::kAny) {
    pack_panels_s8(b, k, n, row_step, column_step, Runs::kVectors, packed);
    order_runs<Runs>(packed, k, n);
  } else {
    pack_panels_s8(b, k, n, row_step, column_step, kBlockVectors, packed);
  }
}

void pack_s8(const float* b, std::size_t k, std::size_t n, std::size_t row_step,
             std::size_t column_step, std::byte* packed) {
  pack_in_runs<ByteRuns>(b, k, n, row_step, column_step, packed);
}

inline void pack_sparse_s8(const float* b, std::size_t k, std::size_t n, std::size_t row_step,
                           std::size_t column_step, std::byte* packed) {
  pack_panels_s8(b, k, n, row_step, column_step, widest_sparse_panel(ceil_divide(k, 4), n), packed);
}

}  // namespace
}  // namespace pyrec
