#pragma once

// What operators on quantised tensors share: zero points, scales, and rounding to 8 or 16 bits.

#include <cstdint>
#include <string>
#include <vector>

#include "plan/op.h"
#include "plan/ops/dense.h"
#include "plan/tensor_tools.h"

namespace pyrec {

// Calls f with the C++ type of a quantised element type.
template <class F>
void dispatch_quantized(const std::string& op, DType dtype, F&& f) {
  switch (dtype) {
    case DType::kInt8:
      return f(TypeTag<std::int8_t>{});
    case DType::kUint8:
      return f(TypeTag<std::uint8_t>{});
    case DType::kInt16:
      return f(TypeTag<std::int16_t>{});
    case DType::kUint16:
      return f(TypeTag<std::uint16_t>{});
    default:
      refuse_dtype(op, dtype);
  }
}

void require_8_bits(const std::string& op, const Tensor& tensor);

// An int8 or uint8 tensor as int16.
Tensor widened(Context& context, const Tensor& tensor);

inline std::int32_t wrapped_sum(std::int32_t a, std::int32_t b) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) + static_cast<std::uint32_t>(b));
}

// One zero point for all, or one for each of `count` rows, columns or filters; absent means 0.
class ZeroPoints {
 public:
  ZeroPoints(const std::string& op, const Tensor* tensor, DType dtype, std::int64_t count);
  std::int32_t at(std::int64_t index) const {
    return values_[values_.size() == 1 ? 0 : static_cast<std::size_t>(index)];
  }

 private:
  std::vector<std::int32_t> values_;
};

// One float32 (or float16) scale for all, or one for each of `count`.
class Scales {
 public:
  Scales(const std::string& op, const Tensor& tensor, std::int64_t count);
  float at(std::int64_t index) const {
    return values_[values_.size() == 1 ? 0 : static_cast<std::size_t>(index)];
  }

 private:
  std::vector<float> values_;
};

// Rounds half to even, adds the zero point and saturates to the zero point's type. NaN gives the
// smallest value.
class Requantizer {
 public:
  Requantizer(const std::string& op, const Tensor& zero_point);
  Requantizer(DType dtype, std::int32_t zero_point);
  std::int32_t quantize(float value) const;
  void store(float value, const Tensor& to, std::int64_t index) const;

 private:
  DType dtype_;
  std::int32_t zero_;
  float lowest_, highest_;  // of the rounded value, before the zero point
};

}  // namespace pyrec
