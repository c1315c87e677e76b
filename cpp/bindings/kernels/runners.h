#pragma once

// The way to call each kernel from Python, by family: a family's file has a function `runner` for
// each type of its kernels.

#include <functional>
#include <map>
#include <string>

#include "bindings/kernels/call.h"
#include "dispatch/kernels.h"

namespace pyrec {

using Runner = std::function<py::object(const Call&)>;
using Runners = std::map<std::string, Runner>;

#define PYREC_DECLARE(family) void add_##family##_runners(Runners& runners);
PYREC_FAMILIES(PYREC_DECLARE)
#undef PYREC_DECLARE

#define PYREC_ADD_RUNNER(name, type) runners[#name] = runner(&Kernels::name);
#define PYREC_NO_RUNNER(name, type)

}  // namespace pyrec
