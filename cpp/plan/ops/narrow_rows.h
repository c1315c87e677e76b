#pragma once

// Rows in the form in which layers of lower precision multiply them. What makes a layer's input
// hands it over in this form where the layer alone reads it: fewer bytes, converted while they are
// in the first-level cache.

#include <cstddef>
#include <cstdint>
#include <string>

#include "dispatch/kernels.h"
#include "plan/op.h"

namespace pyrec {

struct NarrowRows {
  std::size_t (*size)(std::size_t k);  // bytes of a row
  // Converts m rows of k numbers, ldx floats apart, into rows that lie next to each other; `order`
  // is null or one of order_lanes.
  void (*convert)(const Kernels& kernels, const float* x, std::size_t ldx, std::size_t m,
                  std::size_t k, const std::int32_t* order, std::byte* rows);
  // The same of sums as lookup_sum_f32 makes them, with ReLU or no activation; scratch holds
  // kSummedRows rows.
  void (*sum)(const Kernels& kernels, const float* bias, std::size_t bias_step,
              const LookupPart* parts, std::size_t count, bool relu, std::size_t n,
              std::size_t width, const std::int32_t* order, float* scratch, std::byte* rows);
};

extern const NarrowRows kInt8Rows;
// The same with what was measured of each row, before it was rounded, in its tail.
extern const NarrowRows kMeasuredInt8Rows;

// What a layer's error is bounded by, of a row of kMeasuredInt8Rows.
struct RowMeasures {
  float scale;
  float length;    // of the row as it is rounded
  float rounding;  // the length of what rounding has taken from the row
};
// Of m rows of k numbers.
void list_measures(const std::byte* rows, std::size_t m, std::size_t k, RowMeasures* measures);
extern const NarrowRows kBf16Rows;

// The order in which rows are handed over: that of the row which they all start from, which says
// best what a ReLU after it makes zero.
class RowOrder {
 public:
  // No order where `start` is null.
  RowOrder(Context& context, const float* start, std::size_t k);
  // Null: as they come.
  const std::int32_t* data() const;

 private:
  BufferRef memory_;
};

// The form of rows for layers of a precision, or "measured" of int8 ones: null for "", and where
// they read float32 rows on this processor. Throws OpError(kUnsupported) for other names.
const NarrowRows* narrow_rows(const Kernels& kernels, const std::string& precision);

}  // namespace pyrec
