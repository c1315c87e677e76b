#pragma once

// The product of quantised rows and columns. Its sums are exact, and each step from there to the
// result rounds alike on every ISA.

#include "dispatch/kernels.h"
#include "kernels/gemm_groups.inl.h"
#include "kernels/gemm_groups_sparse.inl.h"
#include "kernels/gemm_runs.inl.h"

namespace pyrec {
namespace {

// Behind the groups of packed columns lie their scales and what sums start from where a row's zero
// point is kZeroPoint: -kZeroPoint times the column's sum. Both are padded to whole vectors.
// Where there are ByteRuns, pack_s8's lists of runs follow, one for each panel, with room for one
// for each vector.
struct DotU8S8 {
  using Sum = VecU;

  const std::byte* rows;  // the scale and zero point of the first row
  std::size_t row_step;
  const float* column_scales;
  const std::int32_t* corrections;
  const std::uint32_t* runs;
  std::size_t run_step;

  DotU8S8 at(std::size_t row, std::size_t column) const {
    return {rows + row * row_step,
            row_step,
            column_scales + column,
            corrections + column,
            runs + column / kLanes * run_step,
            run_step};
  }
  VecU start(int row, int vector) const {
    std::int32_t zero_point;
    __builtin_memcpy(&zero_point, of_row(row) + sizeof(float), sizeof zero_point);
    const VecI correction = load(corrections + static_cast<std::size_t>(vector) * kLanes);
    return reinterpret_cast<VecU>(correction & broadcast(zero_point == 0 ? 0 : -1));
  }
  static VecU add(VecU sum, VecI a, VecI b) { return dot_u8s8(sum, a, b); }
  VecF finish(VecU sum, int row, int vector) const {
    float row_scale;
    __builtin_memcpy(&row_scale, of_row(row), sizeof row_scale);
    const VecF column_scale = load(column_scales + static_cast<std::size_t>(vector) * kLanes);
    return to_float(reinterpret_cast<VecI>(sum)) * column_scale * broadcast(row_scale);
  }

 private:
  const std::byte* of_row(int row) const { return rows + static_cast<std::size_t>(row) * row_step; }
};

struct ProductU8S8 {
  ProductU8S8(const std::byte* a, const std::byte* packed, const float* bias, std::size_t bias_step,
              bool relu, float* c, std::size_t ldc, std::size_t n, std::size_t k,
              Upcoming* upcoming) {
    const std::size_t step = quantized_row_size(k);
    const std::byte* scales = packed + groups_size(k, n, 4);
    const std::size_t padded = ceil_divide(n, kLanes) * kLanes;
    const auto* corrections =
        reinterpret_cast<const std::int32_t*>(scales + padded * sizeof(float));
    dot = {a + (step - kRowRecordTail),
           step,
           reinterpret_cast<const float*>(scales),
           corrections,
           reinterpret_cast<const std::uint32_t*>(corrections + padded),
           run_list_size(k)};
    product = {a, step, packed, ceil_divide(k, 4), bias, bias_step, c, ldc, relu, upcoming};
  }

  DotU8S8 dot;
  GroupsProduct product;
};

template <class Runs>
void gemm_in_runs(const ProductU8S8& with, std::size_t m, std::size_t n) {
  if constexpr (Runs::kAny) {
    gemm_runs<Runs>(with.product, with.dot, m, n);
  } else {
    gemm_groups(with.product, with.dot, m, n);
  }
}

void gemm_u8s8(const std::byte* a, const std::byte* packed, const float* bias,
               std::size_t bias_step, bool relu, float* c, std::size_t ldc, std::size_t m,
               std::size_t n, std::size_t k, Upcoming* upcoming) {
  const ProductU8S8 with(a, packed, bias, bias_step, relu, c, ldc, n, k, upcoming);
  gemm_in_runs<ByteRuns>(with, m, n);
}

void gemm_sparse_u8s8(const std::byte* a, const std::byte* packed, const float* bias,
                      std::size_t bias_step, bool relu, float* c, std::size_t ldc, std::size_t m,
                      std::size_t n, std::size_t k, Upcoming* upcoming) {
  const ProductU8S8 with(a, packed, bias, bias_step, relu, c, ldc, n, k, upcoming);
  gemm_groups_sparse(with.product, with.dot, m, n);
}

}  // namespace
}  // namespace pyrec
