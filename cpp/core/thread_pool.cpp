#include "core/thread_pool.h"

#include <unistd.h>

#include <cstdint>
#include <exception>

namespace pyrec {

struct ThreadPool::Team {
  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable done;
  std::uint64_t generation = 0;
  bool stop = false;
  std::size_t running = 0;
  std::size_t count = 0;
  const std::function<void(std::size_t, std::size_t)>* body = nullptr;
  std::atomic<std::size_t> next{0};
  std::exception_ptr error;
  std::vector<std::thread> threads;

  void share(std::size_t worker) {
    try {
      while (true) {
        const std::size_t index = next.fetch_add(1, std::memory_order_relaxed);
        if (index >= count) return;
        (*body)(index, worker);
      }
    } catch (...) {
      next.store(count, std::memory_order_relaxed);
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
    }
  }

  void serve(std::size_t worker) {
    std::uint64_t seen = 0;
    while (true) {
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return stop || generation != seen; });
        if (stop) return;
        seen = generation;
      }
      share(worker);
      const std::lock_guard lock(mutex);
      if (--running == 0) done.notify_one();
    }
  }
};

ThreadPool::ThreadPool(std::size_t threads)
    : threads_(threads == 0 ? 1 : threads), process_(getpid()) {}

void ThreadPool::run(std::size_t count,
                     const std::function<void(std::size_t, std::size_t)>& body) {
  int parent = process_.load(std::memory_order_relaxed);
  if (threads_ > 1 && parent != getpid() && process_.compare_exchange_strong(parent, getpid())) {
    // A forked child: the threads and locks of the parent did not come along. What is left of them
    // can neither be used nor destroyed.
    new std::shared_ptr<Team>(std::move(team_));
    busy_.store(false, std::memory_order_release);
  }
  if (threads_ == 1 || count < 2 || busy_.exchange(true, std::memory_order_acquire)) {
    for (std::size_t index = 0; index < count; ++index) body(index, 0);
    return;
  }
  if (!team_) {
    team_ = std::make_shared<Team>();
    for (std::size_t worker = 1; worker < threads_; ++worker) {
      team_->threads.emplace_back([team = team_.get(), worker] { team->serve(worker); });
    }
  }
  Team& team = *team_;
  {
    const std::lock_guard lock(team.mutex);
    team.body = &body;
    team.count = count;
    team.next.store(0, std::memory_order_relaxed);
    team.running = team.threads.size();
    team.error = nullptr;
    ++team.generation;
  }
  team.wake.notify_all();
  team.share(0);
  std::exception_ptr error;
  {
    std::unique_lock lock(team.mutex);
    team.done.wait(lock, [&] { return team.running == 0; });
    error = team.error;
  }
  busy_.store(false, std::memory_order_release);
  if (error) std::rethrow_exception(error);
}

ThreadPool::~ThreadPool() {
  if (!team_) return;
  if (process_.load() != getpid()) {
    new std::shared_ptr<Team>(std::move(team_));
    return;
  }
  {
    const std::lock_guard lock(team_->mutex);
    team_->stop = true;
  }
  team_->wake.notify_all();
  for (std::thread& thread : team_->threads) thread.join();
}

}  // namespace pyrec
