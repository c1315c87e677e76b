#pragma once

#include <pybind11/pybind11.h>

namespace pyrec {

void bind_threads(pybind11::module_& module);

}  // namespace pyrec
