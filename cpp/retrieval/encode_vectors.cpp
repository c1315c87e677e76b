#include "retrieval/encode_vectors.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "codecs/nearest_bf16.h"
#include "retrieval/vector_table.h"

namespace pyrec {

namespace {

constexpr std::size_t kLanes = 8;  // sums that do not wait for each other
constexpr float kMostCode = 64.0f;
constexpr float kMostCoarse = 7.0f;
constexpr float kCut = 0.36f;  // see _CUT in Python

// The sum of f(i), i from 0 to count, in double precision.
template <class F>
double sum_of(std::size_t count, F&& f) {
  double sums[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) sums[lane] += f(i + lane);
  }
  for (; i < count; ++i) sums[0] += f(i);
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

double square_of(const float* vector, std::size_t width) {
  return sum_of(width, [&](std::size_t i) {
    const double x = vector[i];
    return x * x;
  });
}

// A float that is no less, whatever rounding made of the number before.
float upward(double value) {
  return std::nextafter(static_cast<float>(value), std::numeric_limits<float>::infinity());
}

float largest_of(const float* vector, std::size_t width) {
  // Bits of floats without their signs are in the floats' order.
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < width; ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, vector + i, sizeof(bits));
    largest = std::max(largest, bits & 0x7fffffffu);
  }
  float value;
  std::memcpy(&value, &largest, sizeof(value));
  return value;
}

// Whole numbers of minus `most` to `most` for a vector; returns what is no less than the length of
// what they leave.
float encode(const float* vector, std::size_t width, float scale, float most, float* codes) {
  if (!(scale > 0.0f)) {
    std::fill_n(codes, width, 0.0f);
    return upward(std::sqrt(square_of(vector, width)));
  }
  // A sum with it has no place left behind the point: rounded to the nearest, ties to even.
  constexpr float kWhole = 12582912.0f;
  for (std::size_t i = 0; i < width; ++i) {
    float ratio = vector[i] / scale;
    ratio = ratio < -most ? -most : ratio;
    ratio = ratio > most ? most : ratio;
    codes[i] = (ratio + kWhole) - kWhole;
  }
  // Double precision holds the product of a scale and a code.
  const double wide = scale;
  return upward(std::sqrt(sum_of(width, [&](std::size_t i) {
    const double left = static_cast<double>(vector[i]) - wide * static_cast<double>(codes[i]);
    return left * left;
  })));
}

// The upper half of a float as bfloat16, and the float that it stands for.
std::uint32_t rounded(float& value) {
  const std::uint32_t bits = std::uint32_t{nearest_bf16(value)} << 16;
  std::memcpy(&value, &bits, sizeof(bits));
  return bits;
}

class Encoder {
 public:
  explicit Encoder(const VectorEncoding& form)
      : form_(form), vector_(form.width), codes_(form.width), other_(form.width) {}

  void write(const float* vector, std::byte* record) {
    double square = square_of(vector, form_.width);
    if (form_.scaled) {
      vector_.assign(vector, vector + form_.width);
      scale_vector(square, vector_);
      vector = vector_.data();
      square = square_of(vector, form_.width);
    }
    VectorDetails details{};
    details.bias = form_.biased ? static_cast<float>(-0.5 * square) : 0.0f;
    details.norm = upward(std::sqrt(square));
    const std::size_t bytes = form_.width * sizeof(float);
    std::memcpy(record, vector, bytes);
    std::byte* const behind = record + bytes + form_.details_bytes();
    if (form_.coded) {
      write_codes(vector, details, behind);
      write_coarse_codes(vector, square, details, behind + form_.code_bytes());
    }
    std::memcpy(record + bytes, &details, form_.details_bytes());
  }

 private:
  void write_codes(const float* vector, VectorDetails& details, std::byte* made) {
    details.scale = largest_of(vector, form_.width) / kMostCode;
    details.residual = encode(vector, form_.width, details.scale, kMostCode, codes_.data());
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < form_.width; ++i) {
      const auto code = static_cast<std::int32_t>(codes_[i]);
      sum += code;
      made[i] = static_cast<std::byte>(code);
    }
    std::fill(made + form_.width, made + form_.code_bytes(), std::byte{0});
    details.start = -static_cast<std::int32_t>(kMostCode) * sum;
  }

  // Of two scales the one that leaves less: the largest number's, or one that cuts large ones off.
  void write_coarse_codes(const float* vector, double square, VectorDetails& details,
                          std::byte* made) {
    const std::size_t width = form_.width;
    float scale = largest_of(vector, width) / kMostCoarse;
    const auto mean = static_cast<float>(std::sqrt(square / static_cast<double>(width)));
    float cut = std::min(scale, kCut * mean);
    std::uint32_t half = rounded(scale);
    const std::uint32_t other_half = rounded(cut);
    float left = encode(vector, width, scale, kMostCoarse, codes_.data());
    const float other_left = encode(vector, width, cut, kMostCoarse, other_.data());
    const float* codes = codes_.data();
    if (other_left < left) {
      codes = other_.data();
      left = other_left;
      half = other_half;
    }
    std::uint32_t bits;
    std::memcpy(&bits, &left, sizeof(bits));
    details.coarse = half | (bits + 0xffffu) >> 16;
    const std::size_t bytes = form_.coarse_bytes();
    const auto code_of = [&](std::size_t i) {
      return i < width ? static_cast<std::uint32_t>(codes[i] + (kMostCoarse + 1.0f)) : 0u;
    };
    for (std::size_t i = 0; i < bytes; ++i) {
      made[i] = static_cast<std::byte>(code_of(i) | code_of(bytes + i) << 4);
    }
  }

  const VectorEncoding& form_;
  std::vector<float> vector_, codes_, other_;
};

}  // namespace

std::size_t VectorEncoding::details_bytes() const {
  return coded ? sizeof(VectorDetails) : offsetof(VectorDetails, scale);
}

void square_vectors(const float* vectors, std::size_t width, std::span<double> squares) {
  for (double& square : squares) {
    square = square_of(vectors, width);
    vectors += width;
  }
}

void scale_vector(double square, std::span<float> vector) {
  const double length = std::sqrt(square);
  for (float& x : vector) {
    x = length > 0 ? static_cast<float>(static_cast<double>(x) / length) : 0.0f;
  }
}

void encode_vectors(const VectorEncoding& form, const float* vectors, std::size_t count,
                    std::byte* records) {
  Encoder encoder(form);
  for (std::size_t i = 0; i < count; ++i) {
    encoder.write(vectors + i * form.width, records + i * form.record_bytes());
  }
}

}  // namespace pyrec
