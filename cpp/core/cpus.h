#pragma once

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

 private:
  struct Sets;

  std::unique_ptr<Sets> sets_;  // null: nothing to be done any more
  std::size_t count_ = 0;
  int avoided_ = -1;
};

}  // namespace pyrec
