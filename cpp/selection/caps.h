#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace pyrec {

// How many items may have the same value of an attribute.
struct Cap {
  std::span<const std::int64_t> values;  // of each item
  std::int64_t absent;                   // stands for no value, which is under no cap
  std::size_t every;                     // of each value that `of` does not have
  std::unordered_map<std::int64_t, std::size_t> of;

  std::size_t most(std::int64_t value) const {
    const auto found = of.find(value);
    return found == of.end() ? every : found->second;
  }
};

// The numbers of the first k of ranked items that break no cap, those that were taken before them
// counted. `values` of the caps are of the `taken` items and then of the `count` ranked ones, of
// which those that `skip` has are passed over; without `skip`, none.
std::vector<std::int64_t> walk(std::span<const Cap> caps, std::size_t taken, std::size_t count,
                               const bool* skip, std::size_t k);

}  // namespace pyrec
