#pragma once

#include <pybind11/pybind11.h>

namespace pyrec {

void bind_selection(pybind11::module_& module);

}  // namespace pyrec
