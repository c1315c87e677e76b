#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "selection/best.h"

namespace pyrec {

// What becomes of the scores of one request before they are compared: score * times + plus, each
// step rounded, and nothing where a candidate is not taken. Null: as they are, all.
struct Adjustment {
  const float* times = nullptr;
  const float* plus = nullptr;
  const std::uint8_t* taken = nullptr;
};

// A candidate of a request and its score.
struct Winner {
  std::int64_t row;
  float score;
};

// The best candidates of one request, whose scores threads find in parts.
class RequestBest {
 public:
  RequestBest(const Kernels& kernels, std::size_t k, std::size_t threads, Adjustment adjustment);

  // The scores of successive candidates from `first` on. No two calls with one worker overlap.
  void collect(std::size_t worker, std::span<const float> scores, std::size_t first);
  // Forgets everything.
  void reset();
  // The k best, or all if they are fewer, best first. Equal scores: the lower row first. NaN after
  // all others.
  std::vector<Winner> finish();

 private:
  const Kernels& kernels_;
  std::size_t k_;
  Adjustment adjustment_;
  std::vector<Best> best_;    // of each worker
  std::atomic<float> least_;  // no score below it is among the k best of all
};

}  // namespace pyrec
