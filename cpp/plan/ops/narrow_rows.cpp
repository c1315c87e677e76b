#include "plan/ops/narrow_rows.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "core/error.h"

namespace pyrec {

namespace {

std::size_t rounded_row_bytes(std::size_t k) { return rounded_row_size(k) * sizeof(std::uint16_t); }

void quantize(const Kernels& kernels, const float* x, std::size_t ldx, std::size_t m, std::size_t k,
              const std::int32_t* order, std::byte* rows) {
  kernels.quantize_rows_u8(x, ldx, m, k, order, rows);
}

void round(const Kernels& kernels, const float* x, std::size_t ldx, std::size_t m, std::size_t k,
           const std::int32_t* order, std::byte* rows) {
  kernels.round_rows_bf16(x, ldx, m, k, order, reinterpret_cast<std::uint16_t*>(rows));
}

void quantize_sums(const Kernels& kernels, const float* bias, std::size_t bias_step,
                   const LookupPart* parts, std::size_t count, bool relu, std::size_t n,
                   std::size_t width, const std::int32_t* order, float* scratch, std::byte* rows) {
  kernels.lookup_sum_u8(bias, bias_step, parts, count, relu, n, width, order, scratch, rows);
}

void round_sums(const Kernels& kernels, const float* bias, std::size_t bias_step,
                const LookupPart* parts, std::size_t count, bool relu, std::size_t n,
                std::size_t width, const std::int32_t* order, float*, std::byte* rows) {
  kernels.lookup_sum_bf16(bias, bias_step, parts, count, relu, n, width, order,
                          reinterpret_cast<std::uint16_t*>(rows));
}

void measure(const Kernels& kernels, const float* x, std::size_t ldx, std::size_t m, std::size_t k,
             const std::int32_t* order, std::byte* rows) {
  kernels.measure_rows_u8(x, ldx, m, k, order, rows);
}

void measure_sums(const Kernels& kernels, const float* bias, std::size_t bias_step,
                  const LookupPart* parts, std::size_t count, bool relu, std::size_t n,
                  std::size_t width, const std::int32_t* order, float* scratch, std::byte* rows) {
  const Activation activation = relu ? Activation::kRelu : Activation::kNone;
  std::vector<LookupPart> from(parts, parts + count);
  for (std::size_t begin = 0; begin < n; begin += kSummedRows) {
    const std::size_t m = std::min(kSummedRows, n - begin);
    kernels.lookup_sum_f32(bias, bias_step, from.data(), count, activation, m, width, scratch,
                           width);
    measure(kernels, scratch, width, m, width, order, rows);
    rows += m * quantized_row_size(width);
    if (bias != nullptr) bias += m * bias_step;
    for (LookupPart& part : from) {
      if (part.rows != nullptr) {
        part.rows += m;
      } else {
        part.table += m * part.stride;
      }
    }
  }
}

}  // namespace

const NarrowRows kInt8Rows = {quantized_row_size, quantize, quantize_sums};
const NarrowRows kMeasuredInt8Rows = {quantized_row_size, measure, measure_sums};
const NarrowRows kBf16Rows = {rounded_row_bytes, round, round_sums};

void list_measures(const std::byte* rows, std::size_t m, std::size_t k, RowMeasures* measures) {
  const std::size_t step = quantized_row_size(k);
  const std::byte* tail = rows + (step - kRowRecordTail);
  for (std::size_t i = 0; i < m; ++i, tail += step) {
    std::memcpy(&measures[i].scale, tail, sizeof(float));
    std::memcpy(&measures[i].length, tail + kMeasuredInTail, sizeof(float));
    std::memcpy(&measures[i].rounding, tail + kMeasuredInTail + sizeof(float), sizeof(float));
  }
}

RowOrder::RowOrder(Context& context, const float* start, std::size_t k) {
  if (!start) return;
  memory_ = context.arena.allocate(k * sizeof(std::int32_t));
  context.kernels.order_lanes(start, k, reinterpret_cast<std::int32_t*>(memory_.get()->data()));
}

const std::int32_t* RowOrder::data() const {
  return memory_.get() ? reinterpret_cast<const std::int32_t*>(memory_.get()->data()) : nullptr;
}

const NarrowRows* narrow_rows(const Kernels& kernels, const std::string& precision) {
  if (precision.empty()) return nullptr;
  if (precision == "int8") return &kInt8Rows;
  if (precision == "measured") return &kMeasuredInt8Rows;
  if (precision == "bf16") return kernels.multiplies_bf16 ? &kBf16Rows : nullptr;
  throw OpError(ErrorKind::kUnsupported, "rows of precision '" + precision + "'");
}

}  // namespace pyrec
