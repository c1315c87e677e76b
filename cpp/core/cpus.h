#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>
#include <thread>

namespace pyrec {

// Where the threads of a team may run: what the thread that makes it may use, without the CPU on
// which the caller is. The system otherwise wakes a thread where its waker runs and may leave it
// there for long. Once anybody else has said where the threads shall run, that stays. Where the
// system does not tell, nothing is done.
class Cpus {
 public:
  Cpus();
  ~Cpus();
  Cpus(const Cpus&) = delete;
  Cpus& operator=(const Cpus&) = delete;

  // How many CPUs there are for all threads; 0 if that is not known.
  std::size_t count() const { return count_; }
  // To be called by the caller of a loop before it wakes the others.
  void keep_off_caller(std::span<std::thread> threads);
  // Moves a thread of the team to the caller's CPU, which the caller then leaves to it by waiting:
  // a thread that others' work keeps from running goes on at once. The CPU, or -1 where that cannot
  // be. Each thread that was fetched has to be given back with it before another call.
  int fetch(std::thread& thread);
  void give_back(std::thread& thread, int cpu);
  // What a thread has worked, without the time for which the system let others run; less than 0
  // where the system does not tell.
  static std::chrono::nanoseconds worked(std::thread& thread);

 private:
  struct Sets;

  std::unique_ptr<Sets> sets_;  // null where the system does not tell
  std::size_t count_ = 0;
  int avoided_ = -1;
  bool left_alone_ = false;  // somebody else has said where threads run
};

}  // namespace pyrec
