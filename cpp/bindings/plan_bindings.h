#pragma once

#include <pybind11/pybind11.h>

#include <vector>

#include "plan/executor.h"
#include "selection/request_best.h"

namespace pyrec {

// Writes one output of a session as float32 into a tensor with as many elements; throws StepError
// if it does not fit. Needs no interpreter lock.
void write_scores(Executor::Session& session, const Tensor& scores, const Tensor& target);

// The best candidates of each request of a session: rows [B, K] and scores [B, K], 0 and minus
// infinity beyond the counts [B].
pybind11::tuple give_winners(Executor::Session& session, std::vector<std::vector<Winner>>& winners);

void bind_plan(pybind11::module_& module);

}  // namespace pyrec
