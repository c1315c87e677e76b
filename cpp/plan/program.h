#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "plan/op.h"

namespace pyrec {

struct Step {
  std::string label;  // for error messages: the operator and what it reads
  std::unique_ptr<Op> op;
  std::vector<std::int32_t> inputs;   // slots; -1 is an absent optional
  std::vector<std::int32_t> outputs;  // slots; -1 is an output nobody reads
  std::vector<std::int32_t> release;  // slots that no later step reads
};

// An OpError with the step it came from.
class StepError : public OpError {
 public:
  StepError(const OpError& error, std::string label) : OpError(error), label(std::move(label)) {}
  std::string label;
};

// Runs an operator; throws OpError(kModel) if it does not make every output, because the node has
// more of them than the operator.
void run_op(const Op& op, Context& context, std::span<const Value* const> in, std::span<Value> out);

// A straight list of steps over numbered slots. Immutable once made; the slots of a run belong to
// the caller, so that any number of threads can run one program.
class Program {
 public:
  Program(std::vector<Step> steps, std::size_t slots, std::vector<std::int32_t> inputs,
          std::vector<std::int32_t> outputs,
          std::vector<std::pair<std::int32_t, Tensor>> constants);

  // The slots of one run. Reused between runs to save the allocations; between runs it holds
  // no value. Not shared between threads.
  struct Frame {
    explicit Frame(const Program& program);
    void clear();

    std::vector<Value> values;
    std::vector<const Value*> current;
    std::vector<const Value*> arguments;
    std::vector<Value> results;
  };

  // Inputs are given by pointer and must outlive the call; outputs may share memory with them.
  void run(Context& context, Frame& frame, std::span<const Value* const> inputs,
           std::span<Value> outputs) const;

  // The same with a frame of its own.
  void run(Context& context, std::span<const Value* const> inputs, std::span<Value> outputs) const;

  std::size_t input_count() const { return inputs_.size(); }
  std::size_t output_count() const { return outputs_.size(); }

 private:
  std::vector<Step> steps_;
  std::size_t slots_;
  std::vector<std::int32_t> inputs_;
  std::vector<std::int32_t> outputs_;
  std::vector<std::pair<std::int32_t, Value>> constants_;
};

}  // namespace pyrec
