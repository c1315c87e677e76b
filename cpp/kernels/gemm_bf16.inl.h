#pragma once

// The product of rows and columns of bfloat16 numbers, with float32 sums.

#include "dispatch/kernels.h"
#include "kernels/gemm_groups.inl.h"
#include "kernels/gemm_groups_sparse.inl.h"

namespace pyrec {
namespace {

struct DotBf16 {
  using Sum = VecF;

  DotBf16 at(std::size_t, std::size_t) const { return {}; }
  VecF start(int, int) const { return VecF{}; }
  static VecF add(VecF sum, VecI a, VecI b) { return dot_bf16_pairs(sum, a, b); }
  VecF finish(VecF sum, int, int) const { return sum; }
};

inline GroupsProduct product_bf16(const std::uint16_t* a, const std::byte* packed,
                                  const float* bias, std::size_t bias_step, bool relu, float* c,
                                  std::size_t ldc, std::size_t k, Upcoming* upcoming) {
  const std::byte* rows = reinterpret_cast<const std::byte*>(a);
  const std::size_t step = rounded_row_size(k) * sizeof(std::uint16_t);
  return {rows, step, packed, ceil_divide(k, 2), bias, bias_step, c, ldc, relu, upcoming};
}

void gemm_bf16(const std::uint16_t* a, const std::byte* packed, const float* bias,
               std::size_t bias_step, bool relu, float* c, std::size_t ldc, std::size_t m,
               std::size_t n, std::size_t k, Upcoming* upcoming) {
  gemm_groups(product_bf16(a, packed, bias, bias_step, relu, c, ldc, k, upcoming), DotBf16{}, m, n);
}

void gemm_sparse_bf16(const std::uint16_t* a, const std::byte* packed, const float* bias,
                      std::size_t bias_step, bool relu, float* c, std::size_t ldc, std::size_t m,
                      std::size_t n, std::size_t k, Upcoming* upcoming) {
  gemm_groups_sparse(product_bf16(a, packed, bias, bias_step, relu, c, ldc, k, upcoming), DotBf16{},
                     m, n);
}

}  // namespace
}  // namespace pyrec
