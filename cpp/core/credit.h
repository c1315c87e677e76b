#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>

namespace pyrec {

// Whether threads go on sharing loops: what that brings is saved, what it costs is paid from that,
// and a part of the time of loops that run alone is added, so that sharing is tried again. What it
// brings is the time that its work would have taken one thread, which the system may keep from
// working for a while too. As long as it does so evenly, loops take at most 1 / kTrial more than
// alone, and kMost and what one loop loses. Whoever runs a loop changes it, any thread may ask.
class Credit {
 public:
  using Time = std::chrono::duration<double>;

  bool enough() const { return enough_.load(std::memory_order_relaxed); }

  // A loop that threads shared took so long, and is so much work for one.
  void share(Time worked, Time taken) {
    saved_ = std::min(saved_ + kept_ * worked - taken, kMost);
    kept_ += (1 - kept_) * std::min(1.0, taken / kForget);
    decide();
  }

  // A loop took one thread so long, and it worked for so long.
  void run_alone(Time worked, Time taken) {
    if (saved_ < Time(0)) saved_ = std::min(saved_ + taken / kTrial, Time(0));
    if (worked > Time(0)) {
      const double kept = std::clamp(taken / worked, 1.0, kMostKept);
      kept_ += (kept - kept_) * std::min(1.0, taken / kLearn);
    }
    decide();
  }

 private:
  static constexpr Time kMost{20e-3};
  static constexpr Time kLearn{20e-3};
  static constexpr Time kForget{1.0};
  static constexpr double kTrial = 32;
  static constexpr double kMostKept = 16;

  void decide() { enough_.store(saved_ >= Time(0), std::memory_order_relaxed); }

  Time saved_{kMost / 4};
  double kept_ = 1;  // time by work of one thread alone
  std::atomic<bool> enough_{true};
};

}  // namespace pyrec
