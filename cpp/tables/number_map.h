#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pyrec {

// Numbers of 64 bits and their places; of equal numbers the first one's. Immutable.
class NumberMap {
 public:
  NumberMap() = default;
  explicit NumberMap(std::span<const std::uint64_t> numbers);

  // The place of each number, or -1.
  void find(std::span<const std::uint64_t> numbers, std::span<std::int64_t> places) const;

 private:
  struct Slot {
    std::uint64_t number = 0;
    std::int64_t place = -1;  // -1: free
  };

  std::size_t home(std::uint64_t number) const;
  const Slot& slot_of(std::uint64_t number, std::size_t from) const;

  // The place of each number from the least one on, -1 for none, where they lie close together.
  std::vector<std::int32_t> near_;
  std::uint64_t least_ = 0;
  std::vector<Slot> slots_;  // else; a third of them is free
  std::uint64_t seed_ = 0;
};

}  // namespace pyrec
