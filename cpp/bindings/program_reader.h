#pragma once

// Programs as Python writes them. Reading Python objects needs the interpreter lock, making
// operators (packing weights) does not, so a specification is read as a whole first; its arrays
// have to stay alive.

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "bindings/callback_op.h"
#include "dispatch/kernels.h"
#include "plan/op_list.h"
#include "plan/program.h"

namespace pyrec {

using Constants = std::vector<std::pair<std::int32_t, Tensor>>;

struct ProgramSource;

struct StepSource {
  Step step;                       // its `op` is a callback, or still to be made
  OpFactory make = nullptr;        // null where nothing native runs it
  CallbackOp* callback = nullptr;  // its `op`
  Attributes attributes;
  std::vector<ProgramSource> bodies;
};

struct ProgramSource {
  std::vector<StepSource> steps;
  std::size_t slots = 0;
  std::vector<std::int32_t> inputs;
  std::vector<std::int32_t> outputs;
  Constants constants;
};

// (operator, label, inputs, outputs, release, attributes, bodies, callback or None, whether it has
// a native form beside the callback)
StepSource read_step(const pybind11::tuple& spec);

// (steps, slots, inputs, outputs, [(slot, array)])
ProgramSource read_program(const pybind11::handle& spec);

Step make_step(StepSource source, const Constants& constants, const Kernels& kernels);

std::shared_ptr<const Program> make_program(ProgramSource source, const Kernels& kernels);

}  // namespace pyrec
