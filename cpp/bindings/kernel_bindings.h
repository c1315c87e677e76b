#pragma once

#include <pybind11/pybind11.h>

namespace pyrec {

// kernel_backends, cpu_features and run_kernel.
void bind_kernels(pybind11::module_& module);

}  // namespace pyrec
