#pragma once

#include <pybind11/pybind11.h>

namespace pyrec {

// Operators by themselves.
void bind_nodes(pybind11::module_& module);

}  // namespace pyrec
