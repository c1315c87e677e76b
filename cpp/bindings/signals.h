#pragma once

#include <pybind11/pybind11.h>

#include <exception>
#include <optional>
#include <utility>

#include "bindings/gil.h"
#include "core/watch.h"

namespace pyrec {

// Runs the handlers of signals that arrive during a call that has given the interpreter lock away.
// Made and destroyed with the lock.
class Signals {
 public:
  Signals() : watch_(&Signals::ask, this) {}

  Watch& watch() { return watch_; }

  // Throws what a handler has raised.
  void rethrow() {
    if (raised_) throw pybind11::error_already_set(*std::exchange(raised_, std::nullopt));
  }

 private:
  static bool ask(void* self);

  Watch watch_;
  std::optional<bool>
      main_thread_;  // the only one that handlers run on; not known before the first question
  std::optional<pybind11::error_already_set> raised_;
};

// Runs f without the interpreter lock, and gives it up where a signal's handler raises: that
// exception goes on then.
template <class F>
void run_watched(F&& f) {
  Signals signals;
  std::exception_ptr error;
  {
    const GilRelease release;
    const WatchScope scope(&signals.watch());
    try {
      f();
    } catch (...) {
      error = std::current_exception();
    }
  }
  signals.rethrow();
  if (error) std::rethrow_exception(error);
}

}  // namespace pyrec
