#pragma once

#include <pybind11/pybind11.h>

namespace pyrec {

// From here on errors of the core reach Python as those of pyrec_infer.errors.
void translate_errors();

}  // namespace pyrec
