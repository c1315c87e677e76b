#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pyrec {

// How many thresholds, which rise, each value is behind: those below it or, if they are strict,
// those up to it. NaN is behind all. All values take a step together, so that none waits for
// another's.
template <class T>
void find_places(std::span<const T> thresholds, bool strict, std::span<const T> values,
                 std::uint32_t* places) {
  std::fill_n(places, values.size(), 0U);
  const auto search = [&](auto is_behind) {
    for (std::size_t left = thresholds.size(); left > 0;) {
      const std::size_t half = (left + 1) / 2;
      const auto step = static_cast<std::uint32_t>(half);
      for (std::size_t i = 0; i < values.size(); ++i) {
        // A branch here could not be predicted.
        const bool behind = is_behind(values[i], thresholds[places[i] + half - 1]);
        places[i] += step & (0U - std::uint32_t{behind});
      }
      left -= half;
    }
  };
  if (strict) {
    search([](T value, T threshold) { return !(value < threshold); });
  } else {
    search([](T value, T threshold) { return !(value <= threshold); });
  }
}

}  // namespace pyrec
