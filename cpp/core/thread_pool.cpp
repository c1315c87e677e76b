#include "core/thread_pool.h"

#include <unistd.h>

#include <cstdint>
#include <exception>
#include <system_error>
#include <utility>

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

ThreadPool::ThreadPool(std::size_t threads) : threads_(threads == 0 ? 1 : threads) {}

bool ThreadPool::acquire(int process) {
  int owner = 0;
  if (owner_.compare_exchange_strong(owner, process, std::memory_order_acquire)) return true;
  return owner != process &&
         owner_.compare_exchange_strong(owner, process, std::memory_order_acquire);
}

void ThreadPool::start_team(int process) {
  if (team_ && team_process_ == process) return;
  // The threads and locks of a parent can neither be used nor destroyed here.
  static_cast<void>(team_.release());
  team_process_ = process;
  team_ = std::make_unique<Team>();
  for (std::size_t worker = 1; worker < threads_; ++worker) {
    try {
      team_->threads.emplace_back([team = team_.get(), worker] { team->serve(worker); });
    } catch (const std::system_error&) {
      // The system grants no more threads; those that there are do all the work.
      break;
    }
  }
}

void ThreadPool::run(std::size_t count, const std::function<void(std::size_t, std::size_t)>& body) {
  const int process = threads_ > 1 && count > 1 ? getpid() : 0;
  if (process == 0 || !acquire(process)) {
    for (std::size_t index = 0; index < count; ++index) body(index, 0);
    return;
  }
  const auto release = [this](void*) { owner_.store(0, std::memory_order_release); };
  const std::unique_ptr<void, decltype(release)> held(this, release);
  start_team(process);
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
    error = std::exchange(team.error, nullptr);
  }
  if (error) std::rethrow_exception(error);
}

ThreadPool::~ThreadPool() {
  if (!team_) return;
  if (team_process_ != getpid()) {
    static_cast<void>(team_.release());
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
