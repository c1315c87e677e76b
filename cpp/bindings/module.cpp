#include <pybind11/pybind11.h>

#include "bindings/kernel_bindings.h"
#include "bindings/plan_bindings.h"
#include "bindings/store_bindings.h"

PYBIND11_MODULE(_native, module) {
  module.doc() = "The native core of pyrec_infer; not a public interface.";
  pyrec::bind_kernels(module);
  pyrec::bind_store(module);
  pyrec::bind_plan(module);
}
