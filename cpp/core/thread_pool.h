#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <type_traits>

namespace pyrec {

// A fixed number of threads that share the indices of a loop. One loop runs at a time: a caller
// that finds the pool busy runs its loop alone, which keeps concurrent callers free of each other.
// The threads are started at the first use and anew in a forked child, where the parent's do not
// exist.
class ThreadPool {
 public:
  explicit ThreadPool(std::size_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  std::size_t threads() const { return threads_; }

  // Tells that a loop is about to come: threads that sleep wake up while the caller prepares it.
  void expect();

  // Calls body(index, worker) once for each index in [0, count); worker < threads(), and no two
  // calls with one worker overlap. The first exception is rethrown after all threads have stopped.
  template <class F>
  void run(std::size_t count, F&& body) {
    using Callable = std::remove_reference_t<F>;
    run_body(count, {[](void* object, std::size_t index, std::size_t worker) {
                       (*static_cast<Callable*>(object))(index, worker);
                     },
                     const_cast<std::remove_const_t<Callable>*>(&body)});
  }

 private:
  struct Body {
    void (*call)(void* object, std::size_t index, std::size_t worker) = nullptr;
    void* object = nullptr;
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
  std::unique_ptr<Team> team_;
  int team_process_ = 0;
};

}  // namespace pyrec
