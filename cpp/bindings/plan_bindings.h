#pragma once

#include <pybind11/pybind11.h>

#include "plan/executor.h"

namespace pyrec {

// Writes one output of a session as float32 into a tensor with as many elements; throws StepError
// if it does not fit. Needs no interpreter lock.
void write_scores(Executor::Session& session, const Tensor& scores, const Tensor& target);

void bind_plan(pybind11::module_& module);

}  // namespace pyrec
