#include "plan/ops/quantized.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

// Elements of a scalar or vector (or of a matrix with one axis above 1), each read as T.
template <class T, class To>
std::vector<To> elements(const Tensor& tensor) {
  std::vector<To> values;
  for_each_outer<1>(tensor.shape, 0, {tensor.strides}, [&](std::int64_t offset) {
    values.push_back(static_cast<To>(tensor.as<T>()[offset]));
  });
  return values;
}

void require_count(const std::string& op, const Tensor& tensor, std::int64_t count) {
  if (tensor.elements() == 1 || tensor.elements() == count) return;
  throw OpError(ErrorKind::kShape, op + ": expected 1 or " + std::to_string(count) +
                                       " scales or zero points, got shape " +
                                       describe(tensor.shape));
}

}  // namespace

void require_8_bits(const std::string& op, const Tensor& tensor) {
  if (tensor.dtype != DType::kInt8 && tensor.dtype != DType::kUint8) refuse_dtype(op, tensor.dtype);
}

Tensor widened(Context& context, const Tensor& tensor) {
  return cast(context, tensor, DType::kInt16);
}

ZeroPoints::ZeroPoints(const std::string& op, const Tensor* tensor, DType dtype,
                       std::int64_t count) {
  if (!tensor) {
    values_.push_back(0);
    return;
  }
  require_count(op, *tensor, count);
  require_8_bits(op, *tensor);
  if (tensor->dtype != dtype) refuse_dtype(op + "'s zero point", tensor->dtype);
  values_ = dtype == DType::kInt8 ? elements<std::int8_t, std::int32_t>(*tensor)
                                  : elements<std::uint8_t, std::int32_t>(*tensor);
}

Scales::Scales(const std::string& op, const Tensor& tensor, std::int64_t count) {
  require_count(op, tensor, count);
  if (tensor.dtype == DType::kFloat32) {
    values_ = elements<float, float>(tensor);
  } else if (tensor.dtype == DType::kFloat16) {
    values_ = elements<Half, float>(tensor);
  } else {
    refuse_dtype(op + "'s scale", tensor.dtype);
  }
}

Requantizer::Requantizer(const std::string& op, const Tensor& zero_point)
    : Requantizer(zero_point.dtype, ZeroPoints(op, &zero_point, zero_point.dtype, 1).at(0)) {}

Requantizer::Requantizer(DType dtype, std::int32_t zero_point) : dtype_(dtype), zero_(zero_point) {
  std::int32_t lowest = 0;
  std::int32_t highest = 0;
  dispatch_quantized("Quantize", dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    lowest = std::numeric_limits<T>::min();
    highest = std::numeric_limits<T>::max();
  });
  lowest_ = static_cast<float>(lowest - zero_point);
  highest_ = static_cast<float>(highest - zero_point);
}

std::int32_t Requantizer::quantize(float value) const {
  // The limits are whole, so saturating first changes nothing; it sends NaN to the lowest.
  value = value > lowest_ ? value : lowest_;
  value = value < highest_ ? value : highest_;
  // Adding 1.5 * 2^23 leaves no bits for a fraction: the FPU rounds half to even.
  constexpr float kRound = 12582912.0f;
  return static_cast<std::int32_t>((value + kRound) - kRound) + zero_;
}

void Requantizer::store(float value, const Tensor& to, std::int64_t index) const {
  const std::int32_t quantized = quantize(value);
  if (dtype_ == DType::kInt8) {
    to.as<std::int8_t>()[index] = static_cast<std::int8_t>(quantized);
  } else {
    to.as<std::uint8_t>()[index] = static_cast<std::uint8_t>(quantized);
  }
}

}  // namespace pyrec
