#include "core/watch.h"

#include <time.h>

namespace pyrec {

namespace {

// The caller takes a lock to answer, so not more often; and no signal waits much longer.
constexpr std::int64_t kInterval = 30'000'000;

std::int64_t now() {
#ifdef CLOCK_MONOTONIC_COARSE
  constexpr clockid_t kClock = CLOCK_MONOTONIC_COARSE;
#else
  constexpr clockid_t kClock = CLOCK_MONOTONIC;
#endif
  timespec time{};
  clock_gettime(kClock, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

thread_local constinit Watch* Watch::current_ = nullptr;

Watch::Watch(Ask ask, void* caller)
    : ask_(ask), caller_(caller), owner_(std::this_thread::get_id()), next_(now() + kInterval) {}

void Watch::check() {
  if (current_ != nullptr && current_->stopped()) throw Stopped();
}

bool Watch::ask_in_time() {
  const std::int64_t time = now();
  if (time < next_) return false;
  const bool stop = ask_(caller_);
  if (stop) stopped_.store(true, std::memory_order_relaxed);
  next_ = now() + kInterval;
  return stop;
}

}  // namespace pyrec
