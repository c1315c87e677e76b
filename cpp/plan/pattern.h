#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace pyrec {

// A regular expression that is classes of characters one after another, each of which may be left
// out or repeated. Texts are UTF-8.
class Pattern {
 public:
  static constexpr std::size_t kMostPlaces = 63;
  static constexpr std::size_t kNone = SIZE_MAX;

  // Reads one from numbers: how many places there are, and of each its flags (1: it may be left
  // out, 2: it may be repeated), how many ranges it has, and the first and last character of each.
  // Throws OpError(kModel) for numbers that are none; what was read is taken off them.
  explicit Pattern(std::span<const std::int64_t>& numbers);

  // Whether it matches nothing at all.
  bool is_empty() const { return (accepting_ >> 63 & 1) != 0; }

  // Where the longest match that begins there ends, or kNone.
  std::size_t longest(std::string_view text, std::size_t begin) const;

 private:
  struct Range {
    std::uint32_t first, last;
  };

  // The places whose class has a character.
  std::uint64_t places_of(std::uint32_t code) const;
  std::uint64_t after(std::uint64_t places) const;

  std::vector<std::vector<Range>> classes_;  // of each place
  std::array<std::uint64_t, 128> ascii_{};
  std::array<std::uint64_t, kMostPlaces + 1>
      follow_{};                 // of each place; the last are the first ones
  std::uint64_t accepting_ = 0;  // places that may be the last; bit 63: none has to be matched
};

}  // namespace pyrec
