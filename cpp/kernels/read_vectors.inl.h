#pragma once

// Whole vectors of a row of numbers, as they lie in memory or in another order.

#include <cstddef>
#include <cstdint>

namespace pyrec {
namespace {

struct AsGiven {
  VecF operator()(const float* x, std::size_t l) const { return load(x + l); }
};

struct InOrder {
  const std::int32_t* order;
  VecF operator()(const float* x, std::size_t l) const { return permute(load(x + l), order + l); }
};

}  // namespace
}  // namespace pyrec
