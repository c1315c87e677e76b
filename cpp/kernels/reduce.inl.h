#pragma once

// Reductions of one row, and kernels that reduce each row and then map it.

#include "kernels/panels.inl.h"
#include "kernels/transcendental.inl.h"

namespace pyrec {
namespace {

// Sum of function(x[i]), in several independent chains.
template <class Function>
inline float sum_of(const float* x, std::size_t n, Function function) {
  VecF sums[4] = {};
  std::size_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
#pragma GCC unroll 4
    for (std::size_t j = 0; j < 4; ++j) sums[j] = sums[j] + function(load(x + i + j * kLanes));
  }
  for (; i + kLanes <= n; i += kLanes) sums[0] = sums[0] + function(load(x + i));
  if (i < n) {
    const VecF last = function(load_first(x + i, n - i));
    sums[1] = sums[1] + select(first_lanes(n - i), last, VecF{});
  }
  return sum_lanes((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// Largest function(x[i]), NaN if any is NaN; n >= 1.
template <class Function>
inline float max_of(const float* x, std::size_t n, Function function) {
  const VecF first = function(broadcast(x[0]));
  VecF largest[2] = {first, first};
  std::size_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    largest[0] = maximum(function(load(x + i)), largest[0]);
    largest[1] = maximum(function(load(x + i + kLanes)), largest[1]);
  }
  for (; i + kLanes <= n; i += kLanes) largest[0] = maximum(function(load(x + i)), largest[0]);
  if (i < n) {
    const VecF last = function(load_first(x + i, n - i));
    largest[1] = maximum(select(first_lanes(n - i), last, first), largest[1]);
  }
  const VecF both = maximum(largest[0], largest[1]);
  return any(is_nan(both)) ? __builtin_nanf("") : max_lanes(both);
}

float sum_f32(const float* x, std::size_t n) {
  return sum_of(x, n, [](VecF v) { return v; });
}
float sum_squares_f32(const float* x, std::size_t n) {
  return sum_of(x, n, [](VecF v) { return v * v; });
}
float max_f32(const float* x, std::size_t n) {
  return max_of(x, n, [](VecF v) { return v; });
}
float min_f32(const float* x, std::size_t n) {
  return -max_of(x, n, [](VecF v) { return -v; });
}

// Rows of kVectors vectors, the last of them `last` lanes wide, each held in registers.
template <int kVectors>
void softmax_short(const float* x, float* y, std::size_t rows, std::size_t n, std::size_t last) {
  constexpr std::size_t kFull = (kVectors - 1) * kLanes;
  const bool whole = last == kLanes;
  for (std::size_t row = 0; row < rows; ++row, x += n, y += n) {
    VecF v[kVectors];
#pragma GCC unroll 4
    for (int i = 0; i + 1 < kVectors; ++i) v[i] = load(x + static_cast<std::size_t>(i) * kLanes);
    VecF& end = v[kVectors - 1];
    end = whole ? load(x + kFull)
                : select(first_lanes(last), load_first(x + kFull, last), broadcast(-kInfinity));
    VecF largest = v[0];
#pragma GCC unroll 4
    for (int i = 1; i < kVectors; ++i) largest = maximum(largest, v[i]);
    const VecF top = broadcast(any(is_nan(largest)) ? __builtin_nanf("") : max_lanes(largest));
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) v[i] = exp_of_negative(v[i] - top);
    // With nothing but -infinity these lanes are NaN, as the sum is.
    VecF sum = v[0];
#pragma GCC unroll 4
    for (int i = 1; i < kVectors; ++i) sum = sum + v[i];
    const VecF scale = broadcast(1.0f / sum_lanes(sum));
#pragma GCC unroll 4
    for (int i = 0; i + 1 < kVectors; ++i) {
      store(y + static_cast<std::size_t>(i) * kLanes, v[i] * scale);
    }
    if (whole) {
      store(y + kFull, end * scale);
    } else {
      store_first(y + kFull, end * scale, last);
    }
  }
}

void softmax_f32(const float* x, float* y, std::size_t rows, std::size_t n) {
  if (n == 0) return;
  constexpr decltype(&softmax_short<1>) kShort[] = {softmax_short<1>, softmax_short<2>,
                                                    softmax_short<3>, softmax_short<4>};
  const std::size_t vectors = ceil_divide(n, kLanes);
  if (vectors <= 4) {
    kShort[vectors - 1](x, y, rows, n, n - (vectors - 1) * kLanes);
    return;
  }
  for (std::size_t row = 0; row < rows; ++row, x += n, y += n) {
    const VecF largest = broadcast(max_f32(x, n));
    map(x, y, n, [=](VecF v) { return exp(v - largest); });
    const VecF scale = 1.0f / broadcast(sum_f32(y, n));
    map(y, y, n, [=](VecF v) { return v * scale; });
  }
}

void log_softmax_f32(const float* x, float* y, std::size_t rows, std::size_t n) {
  if (n == 0) return;
  for (std::size_t row = 0; row < rows; ++row, x += n, y += n) {
    const VecF largest = broadcast(max_f32(x, n));
    const float sum = sum_of(x, n, [=](VecF v) { return exp(v - largest); });
    const VecF log_sum = log(broadcast(sum));
    map(x, y, n, [=](VecF v) { return (v - largest) - log_sum; });
  }
}

void layer_normalization_f32(const float* x, const float* gamma, const float* beta, float epsilon,
                             float* y, std::size_t rows, std::size_t n) {
  for (std::size_t row = 0; row < rows; ++row, x += n, y += n) {
    const float count = static_cast<float>(n);
    const VecF mean = broadcast(sum_f32(x, n) / count);
    const float squares = sum_of(x, n, [=](VecF v) { return (v - mean) * (v - mean); });
    const VecF scale = 1.0f / sqrt(broadcast(squares / count + epsilon));
    map(x, y, n, [=](VecF v) { return (v - mean) * scale; });
    if (gamma != nullptr) multiply_f32(y, 1, gamma, 1, y, n);
    if (beta != nullptr) add_f32(y, 1, beta, 1, y, n);
  }
}

}  // namespace
}  // namespace pyrec
