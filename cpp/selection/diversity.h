#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace pyrec {

// How alike items are with one of them, from 0 to 1; written for each item.
using AlikeTo = std::function<void(std::size_t item, std::span<double> alike)>;

// The cosines of vectors that are of length 1 or 0, `width` numbers each; 0 where they are less.
AlikeTo cosines_of(std::span<const double> units, std::size_t width);

// The share of `width` values that are equal, of those that are there.
AlikeTo shares_of(std::span<const std::int64_t> values, std::span<const bool> there,
                  std::size_t width);

// The numbers of k items, one by one: first the one with the largest score, then each time the one
// with the largest worth less `diversity` times how alike it is with the most alike of those
// before. Of equal ones the first.
std::vector<std::int64_t> most_relevant(std::span<const double> scores,
                                        std::span<const double> worth, double diversity,
                                        std::size_t k, const AlikeTo& alike_to);

}  // namespace pyrec
