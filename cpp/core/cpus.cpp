#include "core/cpus.h"

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
#include <time.h>
#endif

namespace pyrec {

#if defined(__linux__)

struct Cpus::Sets {
  cpu_set_t all;
  cpu_set_t given;  // what the threads were told last
};

Cpus::Cpus() : sets_(std::make_unique<Sets>()) {
  CPU_ZERO(&sets_->all);
  if (sched_getaffinity(0, sizeof(sets_->all), &sets_->all) != 0) {
    sets_.reset();
    return;
  }
  sets_->given = sets_->all;
  count_ = static_cast<std::size_t>(CPU_COUNT(&sets_->all));
}

namespace {

// Whether a thread was where it is allowed to be, and is allowed to be elsewhere now.
bool change(std::thread& thread, const cpu_set_t& from, const cpu_set_t& to) {
  cpu_set_t now;
  const pthread_t handle = thread.native_handle();
  return pthread_getaffinity_np(handle, sizeof(now), &now) == 0 && CPU_EQUAL(&now, &from) &&
         pthread_setaffinity_np(handle, sizeof(to), &to) == 0;
}

cpu_set_t only(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return set;
}

}  // namespace

void Cpus::keep_off_caller(std::span<std::thread> threads) {
  const int cpu = sets_ && !left_alone_ ? sched_getcpu() : -1;
  if (cpu < 0 || cpu >= CPU_SETSIZE || cpu == avoided_) return;
  cpu_set_t wanted = sets_->all;
  CPU_CLR(cpu, &wanted);
  if (CPU_COUNT(&wanted) == 0) return;
  for (std::thread& thread : threads) {
    if (!change(thread, sets_->given, wanted)) {
      left_alone_ = true;
      return;
    }
  }
  sets_->given = wanted;
  avoided_ = cpu;
}

int Cpus::fetch(std::thread& thread) {
  const int cpu = sets_ && !left_alone_ ? sched_getcpu() : -1;
  if (cpu < 0 || cpu >= CPU_SETSIZE || !CPU_ISSET(cpu, &sets_->all)) return -1;
  if (change(thread, sets_->given, only(cpu))) return cpu;
  left_alone_ = true;
  return -1;
}

void Cpus::give_back(std::thread& thread, int cpu) {
  if (!change(thread, only(cpu), sets_->given)) left_alone_ = true;
}

std::chrono::nanoseconds Cpus::worked(std::thread& thread) {
  clockid_t clock{};
  timespec time{};
  if (pthread_getcpuclockid(thread.native_handle(), &clock) != 0 ||
      clock_gettime(clock, &time) != 0) {
    return std::chrono::nanoseconds(-1);
  }
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

#else

struct Cpus::Sets {};

Cpus::Cpus() = default;

void Cpus::keep_off_caller(std::span<std::thread>) {}

int Cpus::fetch(std::thread&) { return -1; }

void Cpus::give_back(std::thread&, int) {}

std::chrono::nanoseconds Cpus::worked(std::thread&) { return std::chrono::nanoseconds(-1); }

#endif

Cpus::~Cpus() = default;

}  // namespace pyrec
