#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <utility>

#include "core/credit.h"

namespace pyrec {

// A fixed number of threads that share the indices of a loop. One loop runs at a time: a caller
// that finds the pool busy runs its loop alone, which keeps concurrent callers free of each other.
// So does one where sharing has cost more than it brought, as when others work on the CPUs: a
// thread that the system stops within a part makes the caller wait.
// The threads are started at the first use and anew in a forked child, where the parent's do not
// exist.
class ThreadPool {
 public:
  explicit ThreadPool(std::size_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  std::size_t threads() const { return threads_; }
  // Whether a loop would be shared.
  bool shares() const { return threads_ > 1 && credit_.enough(); }

  // Tells that a loop is about to come: threads that sleep wake up while the caller prepares it.
  void expect();

  // Calls body(index, worker) once for each index in [0, count); worker < threads(), and no two
  // calls with one worker overlap. weight(index) says how much work one is beside others. The
  // first exception is rethrown after all threads have stopped.
  template <class Weight, class F>
  void run(std::size_t count, Weight&& weight, F&& body) {
    auto parts = std::pair(&weight, &body);
    run_body(count,
             {[](void* object, std::size_t index, std::size_t worker) {
                (*static_cast<decltype(parts)*>(object)->second)(index, worker);
              },
              [](void* object, std::size_t index) {
                return static_cast<double>((*static_cast<decltype(parts)*>(object)->first)(index));
              },
              &parts});
  }
  template <class F>
  void run(std::size_t count, F&& body) {
    run(count, [](std::size_t) { return 1; }, body);
  }

 private:
  struct Body {
    void (*call)(void* object, std::size_t index, std::size_t worker) = nullptr;
    double (*weigh)(void* object, std::size_t index) = nullptr;
    void* object = nullptr;

    void run(std::size_t index, std::size_t worker, Pace* pace) const;
    double weight(std::size_t count) const;  // of all parts
  };
  struct Team;

  void run_body(std::size_t count, Body body);
  bool acquire(int process);
  void start_team(int process);

  std::size_t threads_;
  // The process whose loop runs, or 0. A forked child finds its parent's number here and may take
  // over, because the thread that ran that loop did not come along.
  std::atomic<int> owner_{0};
  // The rest belongs to the owner.
  Credit credit_;
  std::unique_ptr<Team> team_;
  int team_process_ = 0;
};

}  // namespace pyrec
