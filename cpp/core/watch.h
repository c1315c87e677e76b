#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <thread>

namespace pyrec {

// Thrown out of a call that is to be given up.
class Stopped : public std::exception {
 public:
  const char* what() const noexcept override { return "the call was stopped"; }
};

// Whether one call goes on. The thread that makes the call asks its caller, in intervals of the
// clock; threads that help it see the answer.
class Watch {
 public:
  // Whether to stop; only ever asked on the thread that made the watch.
  using Ask = bool (*)(void* caller);

  Watch(Ask ask, void* caller);
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  // Whether the call is to stop: a look at a flag and, on the call's own thread, at a coarse clock.
  bool stopped() {
    if (stopped_.load(std::memory_order_relaxed)) return true;
    return std::this_thread::get_id() == owner_ && ask_in_time();
  }

  // The watch of the call that this thread works for, or null.
  static Watch* current() { return current_; }
  // Throws Stopped if that call is to stop.
  static void check();

 private:
  friend class WatchScope;

  bool ask_in_time();

  static thread_local constinit Watch* current_;

  Ask ask_;
  void* caller_;
  std::thread::id owner_;
  std::int64_t next_;  // the time of the next question
  std::atomic<bool> stopped_{false};
};

// What this thread does until the end of the scope belongs to a call; null: to none.
class WatchScope {
 public:
  explicit WatchScope(Watch* watch) : before_(Watch::current_) { Watch::current_ = watch; }
  ~WatchScope() { Watch::current_ = before_; }
  WatchScope(const WatchScope&) = delete;
  WatchScope& operator=(const WatchScope&) = delete;

 private:
  Watch* before_;
};

// f(begin, count) for consecutive parts of [0, n), with a look at the watch after each but the
// last.
template <class F>
void in_parts(std::size_t n, std::size_t part, F&& f) {
  for (std::size_t begin = 0; begin < n; begin += part) {
    if (begin > 0) Watch::check();
    f(begin, std::min(part, n - begin));
  }
}

// Elements that are moved or mapped between two looks at the watch: about a millisecond.
inline constexpr std::size_t kWatchedElements = std::size_t{1} << 20;

// Rows that are multiplied by a k x n matrix between two looks at the watch.
inline std::size_t watched_rows(std::size_t k, std::size_t n) {
  constexpr std::size_t kProducts = std::size_t{1} << 26;
  constexpr std::size_t kStep = 64;  // kernels take several rows at once
  return std::max(kStep, kProducts / std::max<std::size_t>(k * n, 1) / kStep * kStep);
}

}  // namespace pyrec
