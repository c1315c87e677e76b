#pragma once

// Sums of rows of tables as quantised rows.

#include "kernels/lookup_sum.inl.h"
#include "kernels/quantize.inl.h"

namespace pyrec {
namespace {

// Several rows' sums before their scales: each scale comes out of a long chain of instructions,
// which a row that stayed in registers would wait for.
void lookup_sum_u8(const float* bias, std::size_t bias_step, const LookupPart* parts,
                   std::size_t count, bool relu, std::size_t n, std::size_t width,
                   const std::int32_t* order, float* scratch, std::byte* rows) {
  const RowsAhead ahead(parts, count, n);
  SumRow sum = {bias, parts, count, 0, relu};
  while (sum.i < n) {
    const std::size_t some = smaller(kSummedRows, n - sum.i);
    sum_rows(sum, bias_step, sum.i + some, width, ahead, scratch, width);
    quantize_rows_u8(scratch, width, some, width, order, rows);
    sum.i += some;
    rows += some * quantized_row_size(width);
    if (bias != nullptr) sum.bias += some * bias_step;
  }
}

}  // namespace
}  // namespace pyrec
