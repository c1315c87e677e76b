#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pyrec {

// Places of items, in short lists of those that have their lowest bits in common. However many
// these are, a list rises, and is searched by halves. Before a list is looked at, a bit tells of
// most places that they are not there: what is asked for seldom is, and nobody can foretell which
// lists are empty.
class PlaceSet {
 public:
  explicit PlaceSet(std::span<const std::uint32_t> places)
      : mask_(std::bit_ceil(2 * places.size() + 1) - 1),
        bit_mask_(std::bit_ceil(kBits * places.size() + 64) - 1),
        ends_(mask_ + 2),
        places_(places.size()),
        bits_(bit_mask_ / 64 + 1) {
    for (const std::uint32_t place : places) {
      ++ends_[(place & mask_) + 1];
      bits_[(place & bit_mask_) / 64] |= std::uint64_t{1} << place % 64;
    }
    std::uint32_t end = 0;
    // Where each list begins until its places are there, then where it ends.
    for (std::uint32_t& each : std::span(ends_).subspan(1)) {
      const std::uint32_t count = each;
      each = end;
      end += count;
    }
    for (const std::uint32_t place : places) places_[ends_[(place & mask_) + 1]++] = place;
    for (std::size_t list = 0; list <= mask_; ++list) {
      if (ends_[list + 1] - ends_[list] > 1) {
        std::sort(places_.data() + ends_[list], places_.data() + ends_[list + 1]);
      }
    }
  }

  std::size_t size() const { return places_.size(); }
  bool has(std::uint32_t place) const {
    if ((bits_[(place & bit_mask_) / 64] >> place % 64 & 1) == 0) return false;
    const std::size_t list = place & mask_;
    return std::binary_search(places_.data() + ends_[list], places_.data() + ends_[list + 1],
                              place);
  }

 private:
  static constexpr std::size_t kBits = 16;  // for each place

  std::size_t mask_;
  std::size_t bit_mask_;
  std::vector<std::uint32_t> ends_;  // of list i at i + 1
  std::vector<std::uint32_t> places_;
  std::vector<std::uint64_t> bits_;
};

}  // namespace pyrec
