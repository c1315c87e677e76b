#include "core/cpus.h"

#if defined(__linux__)
#include <pthread.h>
#include <sched.h>
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

void Cpus::keep_off_caller(std::span<std::thread> threads) {
  const int cpu = sets_ ? sched_getcpu() : -1;
  if (cpu < 0 || cpu >= CPU_SETSIZE || cpu == avoided_) return;
  cpu_set_t wanted = sets_->all;
  CPU_CLR(cpu, &wanted);
  if (CPU_COUNT(&wanted) == 0) return;
  for (std::thread& thread : threads) {
    cpu_set_t now;
    const pthread_t handle = thread.native_handle();
    if (pthread_getaffinity_np(handle, sizeof(now), &now) != 0 || !CPU_EQUAL(&now, &sets_->given) ||
        pthread_setaffinity_np(handle, sizeof(wanted), &wanted) != 0) {
      sets_.reset();
      return;
    }
  }
  sets_->given = wanted;
  avoided_ = cpu;
}

#else

struct Cpus::Sets {};

Cpus::Cpus() = default;

void Cpus::keep_off_caller(std::span<std::thread>) {}

#endif

Cpus::~Cpus() = default;

}  // namespace pyrec
