#include "bindings/signals.h"

#include <pythread.h>

namespace py = pybind11;

namespace pyrec {

namespace {

bool on_main_thread() {
  const py::object main = py::module_::import("threading").attr("main_thread")();
  return main.attr("ident").cast<unsigned long>() == PyThread_get_thread_ident();
}

}  // namespace

bool Signals::ask(void* self) {
  auto& signals = *static_cast<Signals*>(self);
  if (signals.main_thread_ == false) return false;
  const GilAcquire gil;
  if (!signals.main_thread_) signals.main_thread_ = on_main_thread();
  if (!*signals.main_thread_ || PyErr_CheckSignals() == 0) return false;
  signals.raised_.emplace();
  return true;
}

}  // namespace pyrec
