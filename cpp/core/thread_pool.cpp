#include "core/thread_pool.h"

#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/cpus.h"
#include "core/watch.h"

namespace pyrec {

namespace {

// A thread looks for work this long before it sleeps: long enough for the next phase of the same
// call and for the next of many calls, far too short to be seen as load.
constexpr std::chrono::microseconds kAwait{100};

// And this long where a loop was told of: as long as a call works before its rows are shared. Who
// slept in between would come late by the time of another waking.
constexpr std::chrono::microseconds kExpected{500};

// A caller looks this long whether the others' last parts are done: as long as one may take. Every
// kSeen it looks whether those that still work do.
constexpr std::chrono::microseconds kFinish{200};
constexpr std::chrono::microseconds kSeen{20};

// What a thread takes that has the caches for itself, where one that shares them takes 1.
constexpr double kAlone = 0.95;

// How long a caller that sleeps until the others' last parts are done looks at nothing.
constexpr std::chrono::milliseconds kLook{1};

void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

struct Release {
  void operator()(std::atomic<int>* owner) const { owner->store(0, std::memory_order_release); }
};
using Held = std::unique_ptr<std::atomic<int>, Release>;

template <class F>
bool spin_until(std::chrono::microseconds most, F&& ready) {
  const auto end = std::chrono::steady_clock::now() + most;
  do {
    for (int i = 0; i < 16; ++i) {
      if (ready()) return true;
      pause_briefly();
    }
  } while (std::chrono::steady_clock::now() < end);
  return ready();
}

}  // namespace

struct ThreadPool::Team {
  // The state of the current loop in one word, so that a thread joins it only while it is open:
  // the loop's number, kOpen, and how many threads besides the caller are in it. A thread that
  // wakes late finds the loop closed, and the caller never waits for it.
  static constexpr std::uint64_t kOpen = std::uint64_t{1} << 16;
  static constexpr std::uint64_t kNumber = kOpen << 1;
  static constexpr std::uint64_t kInside = kOpen - 1;

  alignas(64) std::atomic<std::uint64_t> state{0};
  alignas(64) std::atomic<std::size_t> next{0};
  alignas(64) std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable done;
  std::atomic<std::size_t> sleeping{0};  // written under the lock
  std::atomic<std::size_t> expected{0};  // how often a loop was told of that was still to come
  bool stop = false;
  std::exception_ptr error;
  std::size_t count = 0;
  Body body;
  Watch* watch = nullptr;  // of the call whose loop it is
  Cpus cpus;

  // What the caller of a loop knows of a worker.
  struct Seat {
    // Hints, which order nothing: a worker that is taken for another's state is looked at once
    // more, or fetched for nothing.
    alignas(64) std::atomic<bool> inside{false};  // works for the loop
    std::atomic<bool> fetched{false};             // is on the caller's CPU, and has to leave it
    std::chrono::nanoseconds worked{0};           // when the caller looked last
    int cpu = -1;                                 // to which it was fetched
  };
  std::vector<Seat> seats;
  std::vector<std::thread> threads;

  explicit Team(std::size_t size) : seats(size), spins(cpus.count() == 0 || size <= cpus.count()) {}

  const bool spins;  // every thread may have a CPU for itself

  // `pace`, if any, is told of the parts that this thread does.
  void share(std::size_t worker, Pace* pace) {
    const WatchScope scope(watch);
    try {
      while (true) {
        const std::size_t index = next.fetch_add(1, std::memory_order_relaxed);
        if (index >= count) return;
        body.run(index, worker, pace);
      }
    } catch (...) {
      next.store(count, std::memory_order_relaxed);
      const std::lock_guard lock(mutex);
      if (!error) error = std::current_exception();
    }
  }

  // Waits for a loop that is open and not `seen`; false when the team ends.
  bool await(std::uint64_t seen, const std::atomic<bool>& fetched) {
    const auto ready = [&] {
      const std::uint64_t now = state.load(std::memory_order_relaxed);
      return (now & kOpen) != 0 && now / kNumber != seen;
    };
    std::size_t known = expected;
    auto most = kAwait;
    while (true) {
      const auto called = [&] { return ready() || expected != known; };
      const auto leave = [&] { return called() || fetched.load(std::memory_order_relaxed); };
      if (!spins || !spin_until(most, leave) || !called()) {
        std::unique_lock lock(mutex);
        ++sleeping;
        wake.wait(lock, [&] { return stop || called(); });
        --sleeping;
        if (stop) return false;
      }
      if (ready()) return true;
      known = expected;
      most = kExpected;
    }
  }

  void expect() {
    if (!spins) return;
    ++expected;
    if (sleeping == 0) return;
    cpus.keep_off_caller(threads);
    // Nobody is then between a look at the number and sleep.
    {
      const std::lock_guard lock(mutex);
    }
    wake.notify_all();
  }

  void serve(std::size_t worker) {
    std::uint64_t seen = 0;
    Seat& seat = seats[worker];
    while (await(seen, seat.fetched)) {
      std::uint64_t now = state.load(std::memory_order_relaxed);
      bool joined = false;
      while (!joined && (now & kOpen) != 0 && now / kNumber != seen) {
        joined = state.compare_exchange_weak(now, now + 1, std::memory_order_acquire);
      }
      if (!joined) continue;
      seen = now / kNumber;
      seat.inside.store(true, std::memory_order_relaxed);
      share(worker, nullptr);
      seat.inside.store(false, std::memory_order_relaxed);
      now = state.fetch_sub(1, std::memory_order_release);
      if ((now & kOpen) == 0 && (now & kInside) == 1) {
        const std::lock_guard lock(mutex);
        done.notify_one();
      }
    }
  }

  void open(std::size_t size, Body what) {
    body = what;
    watch = Watch::current();
    count = size;
    next.store(0, std::memory_order_relaxed);
    bool asleep = false;
    {
      const std::lock_guard lock(mutex);
      const std::uint64_t number = state.load(std::memory_order_relaxed) / kNumber + 1;
      state.store(number * kNumber | kOpen, std::memory_order_release);
      asleep = sleeping > 0;
    }
    cpus.keep_off_caller(threads);
    if (asleep) wake.notify_all();
  }

  // Moves those here that work for the loop and have not got on for so long. What they work in and
  // what they read is theirs until they say that they are done, so nobody else can do their part;
  // but they can do it on this CPU while the caller sleeps. Returns whether any was moved.
  bool fetch_stopped(std::chrono::nanoseconds since) {
    bool any = false;
    for (std::size_t i = 0; i < threads.size(); ++i) {
      Seat& seat = seats[i + 1];
      const auto worked = Cpus::worked(threads[i]);
      const bool stopped =
          worked >= std::chrono::nanoseconds(0) && worked - seat.worked < since / 4;
      seat.worked = worked;
      if (!stopped || seat.cpu >= 0 || !seat.inside.load(std::memory_order_relaxed)) continue;
      seat.fetched.store(true, std::memory_order_relaxed);
      seat.cpu = cpus.fetch(threads[i]);
      any |= seat.cpu >= 0;
    }
    return any;
  }

  void give_back_fetched() {
    for (std::size_t i = 0; i < threads.size(); ++i) {
      Seat& seat = seats[i + 1];
      if (seat.cpu >= 0) cpus.give_back(threads[i], std::exchange(seat.cpu, -1));
      seat.fetched.store(false, std::memory_order_relaxed);
    }
  }

  template <class F>
  void wait_until(F&& empty) {
    using Clock = std::chrono::steady_clock;
    const auto end = Clock::now() + kFinish;
    auto last = Clock::now();
    fetch_stopped(std::chrono::nanoseconds(0));
    bool sleeps = !spins;
    while (true) {
      if (!sleeps && spin_until(kSeen, empty)) break;
      if (sleeps) {
        std::unique_lock lock(mutex);
        if (done.wait_for(lock, kLook, empty)) break;
      }
      // The others stop by themselves.
      if (sleeps && watch != nullptr) static_cast<void>(watch->stopped());
      const auto now = Clock::now();
      const bool fetched = fetch_stopped(now - last);
      sleeps = sleeps || fetched || now > end;
      last = now;
    }
    give_back_fetched();
  }

  // Returns the first error of the loop.
  std::exception_ptr close() {
    const auto empty = [&] { return (state.load(std::memory_order_acquire) & kInside) == 0; };
    state.fetch_and(~kOpen, std::memory_order_acq_rel);
    if (!empty()) wait_until(empty);
    const std::lock_guard lock(mutex);
    return std::exchange(error, nullptr);
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
  team_ = std::make_unique<Team>(threads_);
  for (std::size_t worker = 1; worker < threads_; ++worker) {
    try {
      team_->threads.emplace_back([team = team_.get(), worker] { team->serve(worker); });
    } catch (const std::system_error&) {
      // The system grants no more threads; those that there are do all the work.
      break;
    }
  }
}

void ThreadPool::expect() {
  const int process = shares() ? getpid() : 0;
  if (process == 0 || !acquire(process)) return;
  const Held held(&owner_);
  start_team(process);
  team_->expect();
}

void ThreadPool::Body::run(std::size_t index, std::size_t worker, Pace* pace) const {
  Watch::check();
  if (pace == nullptr) return call(object, index, worker);
  const auto begin = std::chrono::steady_clock::now();
  call(object, index, worker);
  pace->add(std::chrono::steady_clock::now() - begin, weigh(object, index));
}

double ThreadPool::Body::weight(std::size_t count) const {
  double all = 0;
  for (std::size_t index = 0; index < count; ++index) all += weigh(object, index);
  return all;
}

void ThreadPool::run_body(std::size_t count, Body body) {
  const int process = threads_ > 1 && count > 1 ? getpid() : 0;
  if (process == 0 || !acquire(process)) {
    for (std::size_t index = 0; index < count; ++index) body.run(index, 0, nullptr);
    return;
  }
  const Held held(&owner_);
  const auto begin = std::chrono::steady_clock::now();
  Pace pace;
  // What a parent's threads have cost says nothing of those that a forked child starts.
  if (team_ && team_process_ == process && !credit_.enough()) {
    for (std::size_t index = 0; index < count; ++index) body.run(index, 0, &pace);
    credit_.run_alone(pace.of(body.weight(count)), std::chrono::steady_clock::now() - begin);
    return;
  }
  start_team(process);
  team_->open(count, body);
  team_->share(0, &pace);
  if (const std::exception_ptr error = team_->close()) std::rethrow_exception(error);
  // What others have taken tells less: beside other work, or on a slower CPU, it is more.
  const Pace::Time worked = kAlone * pace.of(body.weight(count));
  if (worked > Pace::Time(0)) {
    credit_.share(worked, std::chrono::steady_clock::now() - begin);
  }
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
