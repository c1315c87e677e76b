#pragma once

#include "core/thread_pool.h"

namespace pyrec {

// Whose threads may take parts of the operator that this thread runs: set where all of a call waits
// for what runs once for its request, null where the threads have tiles or requests to do.
class Sharing {
 public:
  explicit Sharing(ThreadPool* pool) : outer_(current_) { current_ = pool; }
  ~Sharing() { current_ = outer_; }
  Sharing(const Sharing&) = delete;
  Sharing& operator=(const Sharing&) = delete;

  static ThreadPool* current() { return current_; }

 private:
  static inline thread_local constinit ThreadPool* current_ = nullptr;

  ThreadPool* outer_;
};

}  // namespace pyrec
