#include "retrieval/bounds.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace pyrec {

namespace {

constexpr double kUnit = 0x1p-24;         // what rounding to float changes a number by, of it
constexpr double kLeast = 0x1p-148;       // more than rounding changes the smallest numbers by
constexpr double kOutward = 1 + 0x1p-20;  // more than all roundings of a bound
constexpr float kMostCode = 63;
constexpr float kZero = 64;

// The share by which a float32 sum of this many products, and one number more, may be wrong.
double rounded(std::size_t width) {
  const double steps = (static_cast<double>(width) + 2) * kUnit;
  return steps < 0.5 ? steps / (1 - steps) : std::numeric_limits<double>::infinity();
}

// A float that is no less.
float upward(double x) {
  return std::nextafter(static_cast<float>(x), std::numeric_limits<float>::infinity());
}

struct Coded {
  float scale = 0;
  double norm = 0;
  double size = 0;      // of the codes times the scale
  double residual = 0;  // of what these leave
};

// With `codes` null, of the norm alone.
Coded encode(std::span<const float> query, std::uint8_t* codes) {
  Coded made;
  float most = 0;
  for (const float x : query) {
    most = std::max(most, std::abs(x));
    made.norm += double{x} * double{x};
  }
  made.scale = most / kMostCode;
  for (std::size_t i = 0; i < query.size() && codes != nullptr; ++i) {
    const float nearest = made.scale > 0 ? std::nearbyint(query[i] / made.scale) : 0;
    const float code = std::clamp(nearest, -kMostCode, kMostCode);
    codes[i] = static_cast<std::uint8_t>(code + kZero);
    const double part = double{made.scale} * double{code};
    made.size += part * part;
    made.residual += (double{query[i]} - part) * (double{query[i]} - part);
  }
  made.norm = std::sqrt(made.norm) * kOutward;
  made.size = std::sqrt(made.size) * kOutward;
  made.residual = std::sqrt(made.residual) * kOutward;
  return made;
}

}  // namespace

void BlockBounds::include(const VectorDetails& details, bool screened) {
  norm = std::max(norm, details.norm);
  if (screened) residual = std::max(residual, details.residual);
  bias = std::max(bias, details.bias);
  bias_size = std::max(bias_size, std::abs(details.bias));
}

void BlockBounds::include(const BlockBounds& other) {
  norm = std::max(norm, other.norm);
  residual = std::max(residual, other.residual);
  bias = std::max(bias, other.bias);
  bias_size = std::max(bias_size, other.bias_size);
}

QueryBounds::QueryBounds(const float* queries, std::size_t count, std::size_t width,
                         std::uint8_t* codes, std::size_t codes_stride)
    : scales_(count), sizes_(count), queries_(count) {
  const double sum = rounded(width);
  constexpr double kScreen = 6 * kUnit;  // roundings of the score of the codes
  // Without codes, another sum of the products is as far from the exact one as the score is.
  const bool coded_too = codes != nullptr;
  bias_share_ = (sum + (coded_too ? kScreen : sum)) * kOutward;
  bias_rounded_ = sum * kOutward;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint8_t* const own = codes == nullptr ? nullptr : codes + i * codes_stride;
    if (own != nullptr) std::fill_n(own, codes_stride, static_cast<std::uint8_t>(kZero));
    const Coded coded = encode({queries + i * width, width}, own);
    scales_[i] = coded.scale;
    sizes_[i] = upward(coded.size * kOutward);
    const double rest = (2 * static_cast<double>(width) + 2 + coded.norm) * kLeast;
    const double other = coded_too ? kScreen * coded.size : sum * coded.norm;
    queries_[i] = {(coded.residual + sum * coded.norm + other) * kOutward,
                   coded.size * (1 + kScreen) * kOutward, rest * kOutward,
                   coded.norm * (1 + sum) * kOutward};
  }
}

double QueryBounds::apart(const BlockBounds& block, std::size_t number) const {
  const Query& query = queries_[number];
  return query.norm_share * block.norm + query.residual_share * block.residual +
         bias_share_ * block.bias_size + query.rest;
}

float QueryBounds::reach(const BlockBounds& block, std::size_t number, float least) const {
  const Query& query = queries_[number];
  const double needed = least, norm = block.norm;
  const double highest = double{block.bias} + bias_rounded_ * double{block.bias_size};
  const double size = query.norm * norm + query.rest;
  const bool possible = !((highest + size) + (std::abs(highest) + size) * 0x1p-40 < needed);
  const double lower = needed - apart(block, number) - std::abs(needed) * 0x1p-22;
  return possible ? static_cast<float>(lower) : std::numeric_limits<float>::infinity();
}

bool QueryBounds::reach(const BlockBounds& block, std::span<const float> least,
                        std::span<float> reach_of) const {
  bool any = false;
  for (std::size_t i = 0; i < queries_.size(); ++i) {
    reach_of[i] = reach(block, i, least[i]);
    any |= reach_of[i] < std::numeric_limits<float>::infinity();
  }
  return any;
}

}  // namespace pyrec
