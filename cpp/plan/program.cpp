#include "plan/program.h"

#include <algorithm>
#include <utility>

#include "core/watch.h"

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
    : steps_(std::move(steps)), input_count_(inputs.size()) {
  check_slots(inputs, slots, false);
  check_slots(outputs, slots, false);
  std::vector<Source> found(slots);
  const auto place = [&](std::int32_t slot) -> Source& {
    return found[static_cast<std::size_t>(slot)];
  };
  const auto known = [&](std::int32_t slot) {
    const Source source = place(slot);
    if (source.kind == Source::Kind::kAbsent) {
      throw OpError(ErrorKind::kModel, "a slot is read before it is set");
    }
    return source;
  };
  const auto range_from = [](std::size_t begin, std::size_t end) {
    return Range{static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end - begin)};
  };
  for (auto& [slot, tensor] : constants) {
    check_slots({slot}, slots, false);
    place(slot) = {Source::Kind::kConstant, static_cast<std::uint32_t>(constants_.size())};
    constants_.emplace_back().tensor = std::move(tensor);
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    place(inputs[i]) = {Source::Kind::kInput, static_cast<std::uint32_t>(i)};
  }
  std::vector<bool> released;
  for (const Step& step : steps_) {
    if (step.outputs.empty()) throw OpError(ErrorKind::kModel, "a step has no outputs");
    check_slots(step.inputs, slots, true);
    check_slots(step.outputs, slots, true);
    check_slots(step.release, slots, false);
    const std::size_t first_argument = arguments_.size();
    const std::size_t first_release = release_.size();
    const std::uint32_t first_result = results_;
    for (std::int32_t slot : step.inputs) {
      const Source source = slot < 0 ? Source() : known(slot);
      if (source.kind == Source::Kind::kInput) {
        input_uses_.push_back({static_cast<std::uint32_t>(arguments_.size()), source.number});
      }
      arguments_.push_back(source);
    }
    released.resize(released.size() + step.outputs.size(), false);
    const auto release = [&](std::uint32_t result) {
      released[result] = true;
      release_.push_back(result);
    };
    for (std::int32_t slot : step.outputs) {
      if (slot < 0) {
        release(results_);
      } else {
        place(slot) = {Source::Kind::kResult, results_};
      }
      ++results_;
    }
    for (std::int32_t slot : step.release) {
      if (place(slot).kind == Source::Kind::kResult) release(place(slot).number);
      place(slot) = Source();
    }
    calls_.push_back({step.op.get(), range_from(first_argument, arguments_.size()),
                      range_from(first_result, results_),
                      range_from(first_release, release_.size())});
    const auto read = std::span(arguments_).subspan(first_argument);
    const bool early = std::ranges::none_of(
        read, [](Source source) { return source.kind == Source::Kind::kResult; });
    if (early && step.op->looks_ahead()) early_.push_back(calls_.back());
  }
  for (std::uint32_t result = 0; result < results_; ++result) {
    if (!released[result]) kept_.push_back(result);
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    const auto next = outputs.begin() + static_cast<std::ptrdiff_t>(i) + 1;
    const bool last = std::find(next, outputs.end(), outputs[i]) == outputs.end();
    outputs_.push_back({known(outputs[i]), last, false});
  }
  find_offers();
}

// Finds out which results may lie in memory that comes with an output: nothing but what is told of
// them here may read or write it before the run has ended.
void Program::find_offers() {
  std::vector<std::size_t> uses(results_, 0);
  const auto count = [&](Source source) {
    if (source.kind == Source::Kind::kResult) ++uses[source.number];
  };
  for (const Source& source : arguments_) count(source);
  for (const Output& output : outputs_) count(output.source);
  std::vector<bool> takes(results_, false);
  for (const Call& call : calls_) {
    takes[call.results.begin] = call.results.count == 1 && call.op->takes_offers();
  }
  for (Output& output : outputs_) {
    const auto [kind, number] = output.source;
    output.alone = kind == Source::Kind::kResult && uses[number] == 1 && takes[number];
  }
  for (auto call = calls_.rbegin(); call != calls_.rend(); ++call) {
    const int from = call->op->starts_from();
    if (!takes[call->results.begin] || from < 0 ||
        static_cast<std::uint32_t>(from) >= call->arguments.count) {
      continue;
    }
    const auto [kind, number] = arguments_[call->arguments.begin + static_cast<std::size_t>(from)];
    if (kind == Source::Kind::kResult && uses[number] == 1 && takes[number]) {
      starts_.push_back({call->results.begin, number});
    }
  }
}

void Program::take_offers(Frame& frame, std::span<Value> outputs) const noexcept {
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    if (outputs_[i].alone) {
      frame.values[outputs_[i].source.number].tensor = outputs[i].tensor;
    }
    outputs[i].reset();
  }
  for (const auto [result, start] : starts_) {
    frame.values[start].tensor = frame.values[result].tensor;
  }
}

Program::Frame::Frame(const Program& program)
    : values(program.results_), arguments(program.arguments_.size()) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const Source source = program.arguments_[i];
    if (source.kind == Source::Kind::kConstant) arguments[i] = &program.constants_[source.number];
    if (source.kind == Source::Kind::kResult) arguments[i] = &values[source.number];
  }
}

void Program::Frame::clear() {
  for (Value& value : values) value.reset();
}

// A request comes with cold caches, and a step that follows a chain of addresses would wait for
// each of them: all such steps go down theirs side by side.
void Program::prefetch(const Frame& frame) const {
  for (const Call& call : early_) __builtin_prefetch(call.op);
  for (int round = 0; round < Op::kRounds; ++round) {
    for (const Call& call : early_) {
      call.op->prefetch({frame.arguments.data() + call.arguments.begin, call.arguments.count},
                        round);
    }
  }
}

void Program::run_steps(Context& context, Frame& frame, std::size_t& step) const {
  constexpr std::size_t kWatchedSteps = 8;
  for (; step < calls_.size(); ++step) {
    if (step % kWatchedSteps == kWatchedSteps - 1) Watch::check();
    const Call& call = calls_[step];
    run_op(*call.op, context, {frame.arguments.data() + call.arguments.begin, call.arguments.count},
           {frame.values.data() + call.results.begin, call.results.count});
    for (std::uint32_t i = 0; i < call.release.count; ++i) {
      frame.values[release_[call.release.begin + i]].reset();
    }
  }
}

void Program::run(Context& context, Frame& frame, std::span<const Value* const> inputs,
                  std::span<Value> outputs, bool offered) const {
  for (const InputUse& use : input_uses_) frame.arguments[use.argument] = inputs[use.input];
  if (offered) take_offers(frame, outputs);
  std::size_t step = 0;
  if (early_.size() > 1) prefetch(frame);
  try {
    run_steps(context, frame, step);
  } catch (const StepError&) {
    frame.clear();
    throw;
  } catch (const OpError& error) {
    frame.clear();
    throw StepError(error, steps_[step].label);
  } catch (...) {
    frame.clear();
    throw;
  }
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const Source source = outputs_[i].source;
    if (source.kind != Source::Kind::kResult) {
      outputs[i] =
          source.kind == Source::Kind::kInput ? *inputs[source.number] : constants_[source.number];
    } else if (outputs_[i].last) {
      outputs[i] = std::move(frame.values[source.number]);
    } else {
      outputs[i] = frame.values[source.number];
    }
  }
  for (std::uint32_t result : kept_) frame.values[result].reset();
}

void Program::run(Context& context, std::span<const Value* const> inputs,
                  std::span<Value> outputs) const {
  Frame frame(*this);
  run(context, frame, inputs, outputs);
}

}  // namespace pyrec
