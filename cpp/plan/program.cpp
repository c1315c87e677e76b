#include "plan/program.h"

#include <utility>

namespace pyrec {

namespace {

void check_slots(const std::vector<std::int32_t>& slots, std::size_t count, bool may_be_absent) {
  for (std::int32_t slot : slots) {
    if (slot < (may_be_absent ? -1 : 0) || slot >= static_cast<std::int32_t>(count)) {
      throw OpError(ErrorKind::kModel, "a step names a slot that does not exist");
    }
  }
}

}  // namespace

void run_op(const Op& op, Context& context, std::span<const Value* const> in,
            std::span<Value> out) {
  op.run(context, in, out);
  for (const Value& value : out) {
    if (!value.is_sequence && value.tensor.data == nullptr && value.tensor.elements() != 0) {
      throw OpError(ErrorKind::kModel,
                    "expected fewer than " + std::to_string(out.size()) + " outputs");
    }
  }
}

Program::Program(std::vector<Step> steps, std::size_t slots, std::vector<std::int32_t> inputs,
                 std::vector<std::int32_t> outputs,
                 std::vector<std::pair<std::int32_t, Tensor>> constants)
    : steps_(std::move(steps)),
      slots_(slots),
      inputs_(std::move(inputs)),
      outputs_(std::move(outputs)) {
  check_slots(inputs_, slots_, false);
  check_slots(outputs_, slots_, false);
  std::vector<bool> known(slots_, false);
  const auto learn = [&](std::int32_t slot) {
    if (slot >= 0) known[static_cast<std::size_t>(slot)] = true;
  };
  const auto check_known = [&](std::int32_t slot) {
    if (slot >= 0 && !known[static_cast<std::size_t>(slot)]) {
      throw OpError(ErrorKind::kModel, "a slot is read before it is set");
    }
  };
  for (const auto& [slot, tensor] : constants) {
    check_slots({slot}, slots_, false);
    learn(slot);
  }
  for (std::int32_t slot : inputs_) learn(slot);
  for (const Step& step : steps_) {
    if (step.outputs.empty()) throw OpError(ErrorKind::kModel, "a step has no outputs");
    check_slots(step.inputs, slots_, true);
    check_slots(step.outputs, slots_, true);
    check_slots(step.release, slots_, false);
    for (std::int32_t slot : step.inputs) check_known(slot);
    for (std::int32_t slot : step.outputs) learn(slot);
    for (std::int32_t slot : step.release) known[static_cast<std::size_t>(slot)] = false;
  }
  for (std::int32_t slot : outputs_) check_known(slot);
  for (auto& [slot, tensor] : constants) {
    Value value;
    value.tensor = std::move(tensor);
    constants_.emplace_back(slot, std::move(value));
  }
}

Program::Frame::Frame(const Program& program) : values(program.slots_), current(program.slots_) {}

void Program::run(Context& context, Frame& frame, std::span<const Value* const> inputs,
                  std::span<Value> outputs) const {
  for (const auto& [slot, value] : constants_)
    frame.current[static_cast<std::size_t>(slot)] = &value;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    frame.current[static_cast<std::size_t>(inputs_[i])] = inputs[i];
  }
  for (const Step& step : steps_) {
    frame.arguments.clear();
    for (std::int32_t slot : step.inputs) {
      frame.arguments.push_back(slot < 0 ? nullptr : frame.current[static_cast<std::size_t>(slot)]);
    }
    frame.results.resize(step.outputs.size());
    try {
      run_op(*step.op, context, frame.arguments, frame.results);
    } catch (const StepError&) {
      frame.clear();
      throw;
    } catch (const OpError& error) {
      frame.clear();
      throw StepError(error, step.label);
    } catch (...) {
      frame.clear();
      throw;
    }
    for (std::size_t i = 0; i < step.outputs.size(); ++i) {
      const std::int32_t slot = step.outputs[i];
      if (slot >= 0) {
        Value& value = frame.values[static_cast<std::size_t>(slot)];
        value = std::move(frame.results[i]);
        frame.current[static_cast<std::size_t>(slot)] = &value;
      }
      frame.results[i] = Value();
    }
    for (std::int32_t slot : step.release) frame.values[static_cast<std::size_t>(slot)] = Value();
  }
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    outputs[i] = *frame.current[static_cast<std::size_t>(outputs_[i])];
  }
  frame.clear();
}

void Program::Frame::clear() {
  results.clear();
  for (Value& value : values) value = Value();
}

void Program::run(Context& context, std::span<const Value* const> inputs,
                  std::span<Value> outputs) const {
  Frame frame(*this);
  run(context, frame, inputs, outputs);
}

}  // namespace pyrec
