#pragma once

// What classifiers and regressors do to their scores at the end, as onnxruntime does.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "plan/tensor_tools.h"

namespace pyrec {

enum class Transform { kNone, kSoftmax, kLogistic, kSoftmaxZero, kProbit };

Transform transform_of(const std::string& name);

template <class T>
T logistic(T x) {
  const T small = std::exp(-std::abs(x));
  return x >= 0 ? 1 / (1 + small) : small / (1 + small);
}

// sqrt(2) * erfinv(2x - 1) by Winitzki's formula, which all known implementations use.
template <class T>
T probit(T x) {
  constexpr double kPi = 3.14159265358979323846;
  const double y = 2.0 * static_cast<double>(x) - 1.0;
  const double log = std::log((1 - y) * (1 + y));
  const double v = 2 / (kPi * 0.147) + 0.5 * log;
  const double inverse = std::copysign(std::sqrt(-v + std::sqrt(v * v - log / 0.147)), y);
  return static_cast<T>(std::sqrt(2.0) * inverse);
}

// Over the n scores of one row; a single score gets no transform but kProbit.
template <class T>
void apply_transform(Transform transform, T* scores, std::int64_t n) {
  if (transform == Transform::kProbit) {
    for (std::int64_t i = 0; i < n; ++i) scores[i] = probit(scores[i]);
  } else if (transform == Transform::kNone || n < 2) {
    return;
  } else if (transform == Transform::kLogistic) {
    for (std::int64_t i = 0; i < n; ++i) scores[i] = logistic(scores[i]);
  } else {
    const bool keep_zeros = transform == Transform::kSoftmaxZero;
    const T top = *std::max_element(scores, scores + n);
    T total = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      if (keep_zeros && std::abs(scores[i]) <= T(1e-7)) {
        scores[i] *= std::exp(-top);
      } else {
        scores[i] = std::exp(scores[i] - top);
        total += scores[i];
      }
    }
    for (std::int64_t i = 0; i < n; ++i) scores[i] /= total;
  }
}

// Writes the scores of two classes from the one score of the second.
template <class T>
void second_score(Transform transform, T score, bool complement, T* pair) {
  const bool logit = transform == Transform::kLogistic;
  pair[0] = complement && !logit ? 1 - score : -score;
  pair[1] = score;
  if (logit || transform == Transform::kProbit) apply_transform(transform, pair, 2);
}

// The elements of an array that the IR gives as an attribute.
template <class T>
std::vector<T> elements_of(const Attributes& attributes, const std::string& key,
                           DType dtype = DTypeOf<T>::value) {
  const Tensor* tensor = attributes.tensor(key);
  if (!tensor || tensor->dtype != dtype || !tensor->contiguous()) {
    throw OpError(ErrorKind::kModel, "expected an array of " + std::string(dtype_name(dtype)) +
                                         " as attribute " + key);
  }
  return {tensor->as<T>(), tensor->as<T>() + tensor->elements()};
}

// [rows, features] as one contiguous matrix of the dtype; a vector is one row.
Tensor feature_matrix(Context& context, const Tensor& x, DType dtype);

}  // namespace pyrec
