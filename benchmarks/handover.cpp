// Nanoseconds, one way, in which two CPUs hand a line of memory to each other and back.
//
//     c++ -O3 -std=c++17 -pthread handover.cpp -o handover && ./handover 0 1

#include <sched.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace {

constexpr int kTurns = 100'000;

struct alignas(128) Line {
  std::atomic<int> turn{0};
};
Line line;

void bind_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  if (sched_setaffinity(0, sizeof(set), &set) != 0) std::exit(1);
}

void wait_for(int turn) {
  while (line.turn.load(std::memory_order_acquire) != turn) {
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 1;
  std::thread other([&] {
    bind_to(std::atoi(arguments[2]));
    for (int i = 0; i < kTurns; ++i) {
      wait_for(2 * i + 1);
      line.turn.store(2 * i + 2, std::memory_order_release);
    }
  });
  bind_to(std::atoi(arguments[1]));
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kTurns; ++i) {
    line.turn.store(2 * i + 1, std::memory_order_release);
    wait_for(2 * i + 2);
  }
  const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - begin;
  other.join();
  std::printf("%.1f\n", taken.count() / (2 * kTurns));
}
