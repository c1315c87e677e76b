#include "bindings/program_reader.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <string>

#include "bindings/convert.h"
#include "bindings/text_tensor.h"

namespace py = pybind11;

namespace pyrec {

namespace {

py::array given_array(const py::handle& item) {
  if (!py::isinstance<py::array>(item)) throw OpError(ErrorKind::kDType, "expected an array");
  return py::reinterpret_borrow<py::array>(item);
}

Tensor borrow_constant(const py::handle& item) {
  Tensor texts;
  return borrow_strings(item, texts) ? texts : borrow_array(given_array(item));
}

}  // namespace

StepSource read_step(const py::tuple& spec) {
  StepSource source;
  source.step.label = spec[1].cast<std::string>();
  source.step.inputs = spec[2].cast<std::vector<std::int32_t>>();
  source.step.outputs = spec[3].cast<std::vector<std::int32_t>>();
  source.step.release = spec[4].cast<std::vector<std::int32_t>>();
  if (!spec[7].is_none()) {
    auto callback = std::make_unique<CallbackOp>(spec[7]);
    source.callback = callback.get();
    source.step.op = std::move(callback);
    if (!spec[8].cast<bool>()) return source;
  }
  const auto name = spec[0].cast<std::string>();
  source.make = find_op(name);
  if (source.make == nullptr) throw OpError(ErrorKind::kUnsupported, "no native operator " + name);
  source.attributes = read_attributes(spec[5].cast<py::dict>());
  for (const auto& body : spec[6]) source.bodies.push_back(read_program(body));
  return source;
}

ProgramSource read_program(const py::handle& spec) {
  const auto parts = spec.cast<py::tuple>();
  ProgramSource source;
  source.slots = parts[1].cast<std::size_t>();
  source.inputs = parts[2].cast<std::vector<std::int32_t>>();
  source.outputs = parts[3].cast<std::vector<std::int32_t>>();
  for (const auto& item : parts[4]) {
    const auto pair = item.cast<py::tuple>();
    source.constants.emplace_back(pair[0].cast<std::int32_t>(), borrow_constant(pair[1]));
  }
  for (const auto& step : parts[0]) source.steps.push_back(read_step(step.cast<py::tuple>()));
  return source;
}

Step make_step(StepSource source, const Constants& constants, const Kernels& kernels) {
  if (source.make == nullptr) return std::move(source.step);
  Step& step = source.step;
  if (step.outputs.empty()) {
    throw StepError(OpError(ErrorKind::kModel, "expected at least one output"), step.label);
  }
  std::vector<std::shared_ptr<const Program>> bodies;
  for (ProgramSource& body : source.bodies) {
    bodies.push_back(make_program(std::move(body), kernels));
  }
  std::vector<const Tensor*> known(step.inputs.size(), nullptr);
  for (std::size_t i = 0; i < known.size(); ++i) {
    for (const auto& [slot, tensor] : constants) {
      if (slot == step.inputs[i]) known[i] = &tensor;
    }
  }
  try {
    auto made = source.make(OpSpec{source.attributes, known, step.outputs.size(), bodies, kernels});
    if (source.callback != nullptr) {
      source.callback->set_native(std::move(made));
    } else {
      step.op = std::move(made);
    }
  } catch (const StepError&) {
    throw;
  } catch (const OpError& error) {
    const bool elsewhere = error.kind == ErrorKind::kElsewhere && source.callback != nullptr;
    if (!elsewhere) throw StepError(error, step.label);
  }
  return std::move(step);
}

std::shared_ptr<const Program> make_program(ProgramSource source, const Kernels& kernels) {
  std::vector<Step> steps;
  for (StepSource& step : source.steps) {
    steps.push_back(make_step(std::move(step), source.constants, kernels));
  }
  return std::make_shared<const Program>(std::move(steps), source.slots, std::move(source.inputs),
                                         std::move(source.outputs), std::move(source.constants));
}

}  // namespace pyrec
