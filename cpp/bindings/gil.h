#pragma once

// Giving the interpreter lock away and taking it back. Python ends a thread that asks for the lock
// while the interpreter shuts down, by unwinding its stack (before 3.14). That must pass neither a
// destructor nor a `catch (...)`, or the process aborts; such a thread waits here for the end
// instead.

#include <pybind11/pybind11.h>
#include <unistd.h>

#include <cstddef>
#include <optional>

#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif

namespace pyrec {

// Smaller batches take less time than others would wait for the interpreter lock to change hands.
constexpr std::size_t kLongBatch = 4096;

template <class F>
void take_gil(F&& take) {
#ifdef __GLIBCXX__
  try {
    take();
  } catch (abi::__forced_unwind&) {
    while (true) pause();
  }
#else
  take();
#endif
}

class GilRelease {
 public:
  GilRelease() : state_(PyEval_SaveThread()) {}
  ~GilRelease() {
    take_gil([this] { PyEval_RestoreThread(state_); });
  }
  GilRelease(const GilRelease&) = delete;
  GilRelease& operator=(const GilRelease&) = delete;

 private:
  PyThreadState* state_;
};

class GilAcquire {
 public:
  GilAcquire() {
    take_gil([this] { held_.emplace(); });
  }

 private:
  std::optional<pybind11::gil_scoped_acquire> held_;
};

}  // namespace pyrec
