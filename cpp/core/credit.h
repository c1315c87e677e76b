#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>

namespace pyrec {

// What parts of a loop have taken one thread, of which the system may have stopped it in one: the
// slowest of three or more is not counted. No clock of the thread's own is asked, as the system
// looks there whether it is another's turn.
class Pace {
 public:
  using Time = std::chrono::duration<double>;

  void add(Time taken, double weight) {
    taken_ += taken;
    weight_ += weight;
    ++parts_;
    if (taken * slow_weight_ >= slow_taken_ * weight) {
      slow_taken_ = taken;
      slow_weight_ = weight;
    }
  }

  // What so much weight would take; 0 where nothing tells.
  Time of(double weight) const {
    const bool all = parts_ < 3;
    const double counted = all ? weight_ : weight_ - slow_weight_;
    if (counted <= 0) return Time(0);
    return (all ? taken_ : taken_ - slow_taken_) * (weight / counted);
  }

 private:
  Time taken_{0}, slow_taken_{0};
  double weight_ = 0, slow_weight_ = 0;
  int parts_ = 0;
};

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
    saved_ = std::min(saved_ + kept() * worked - taken, kMost);
    alone_taken_ += (alone_worked_ - alone_taken_) * std::min(1.0, taken / kForget);
    decide();
  }

  // A loop took one thread so long, and it worked for so long.
  void run_alone(Time worked, Time taken) {
    if (saved_ < Time(0)) saved_ = std::min(saved_ + taken / kTrial, Time(0));
    if (worked > Time(0)) {
      const double rest = std::max(0.0, 1 - taken / kLearn);
      alone_worked_ = rest * alone_worked_ + worked;
      alone_taken_ = rest * alone_taken_ + taken;
    }
    decide();
  }

 private:
  static constexpr Time kMost{20e-3};
  static constexpr Time kLearn{100e-3};
  static constexpr Time kForget{1.0};
  static constexpr double kTrial = 32;
  static constexpr double kMostKept = 16;

  // Time by work of one thread alone: of sums, as of single loops few are stopped, for long.
  double kept() const { return std::clamp(alone_taken_ / alone_worked_, 1.0, kMostKept); }

  void decide() { enough_.store(saved_ >= Time(0), std::memory_order_relaxed); }

  Time saved_{kMost};  // one stop in a first loop, while others start, is no reason to run alone
  Time alone_worked_{kLearn}, alone_taken_{kLearn};
  std::atomic<bool> enough_{true};
};

}  // namespace pyrec
