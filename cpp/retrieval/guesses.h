#pragma once

#include <atomic>
#include <cstdint>

namespace pyrec {

// How often bounds that a sample told were right. Where many are not, as the order of the items
// says too much of their scores, searches do without.
class Guesses {
 public:
  bool are_good() const {
    constexpr std::uint64_t kRare = 16;
    return kRare * wrong_.load(std::memory_order_relaxed) <= made_.load(std::memory_order_relaxed);
  }
  void count(bool right) {
    made_.fetch_add(1, std::memory_order_relaxed);
    if (!right) wrong_.fetch_add(1, std::memory_order_relaxed);
  }

 private:
  std::atomic<std::uint64_t> made_{0};
  std::atomic<std::uint64_t> wrong_{0};
};

}  // namespace pyrec
