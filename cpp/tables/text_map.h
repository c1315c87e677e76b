#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pyrec {

// Strings and their places; of equal strings the first one's. Immutable.
class TextMap {
 public:
  TextMap() = default;
  explicit TextMap(std::span<const std::string> texts);

  // The place of a string, or -1.
  std::int64_t find(std::string_view text) const;

 private:
  struct Slot {
    std::uint32_t hash = 0;   // its upper half
    std::int32_t place = -1;  // -1: free
  };

  std::string bytes_;
  std::vector<std::uint64_t> ends_;  // of each string in the bytes, after a zero
  std::vector<Slot> slots_;          // a power of two of them, at most half of them taken
  std::uint64_t seed_ = 0;
};

}  // namespace pyrec
