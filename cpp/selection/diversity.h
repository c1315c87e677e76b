#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace pyrec {

// How alike two items are.
using Alike = std::function<double(std::size_t item, std::size_t other)>;

// The product of their vectors, `width` numbers each.
Alike product_of(std::span<const double> vectors, std::size_t width);

// The share of their `width` values that are equal, of those that are there.
Alike share_of(std::span<const std::int64_t> values, std::span<const bool> there,
               std::size_t width);

// The numbers of k items, one by one: first the one with the largest score, then each time the one
// with the largest worth less `diversity` times how alike it is with the most alike of those
// before, 0 at least. Of equal ones the first.
std::vector<std::int64_t> most_relevant(std::span<const double> scores,
                                        std::span<const double> worth, double diversity,
                                        std::size_t k, const Alike& alike);

// What a determinant is of, whose largest the greedy choice looks for.
struct Determinant {
  std::span<const double> weights;  // of each item
  std::span<const double> own;      // how alike each item is with itself
  double least;                     // a gain of no more than this share of the item's own is none
};

// The numbers of k items, one by one: each time the one that adds most to the determinant of
// weight * alike * weight of those chosen, of equal ones the first; where none adds anything, those
// that are left in their order.
std::vector<std::int64_t> most_determinate(const Determinant& determinant, std::size_t k,
                                           const Alike& alike);

}  // namespace pyrec
