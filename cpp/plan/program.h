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

  // What one run mutates. Reused between runs to save the allocations; between runs it holds no
  // value. Not shared between threads, and not used after its program.
  struct Frame {
    explicit Frame(const Program& program);
    void clear();

    std::vector<Value> values;            // the results of every step, one after the other
    std::vector<const Value*> arguments;  // the inputs of every step, one after the other
  };

  // Inputs are given by pointer and must outlive the call; outputs may share memory with them.
  // `offered`: an output that comes with memory had better lie there, where its step can do so.
  void run(Context& context, Frame& frame, std::span<const Value* const> inputs,
           std::span<Value> outputs, bool offered = false) const;

  // The same with a frame of its own.
  void run(Context& context, std::span<const Value* const> inputs, std::span<Value> outputs) const;

  std::size_t input_count() const { return input_count_; }
  std::size_t output_count() const { return outputs_.size(); }

 private:
  // Where a value is found, by its number there.
  struct Source {
    enum class Kind { kAbsent, kInput, kConstant, kResult };
    Kind kind = Kind::kAbsent;
    std::uint32_t number = 0;
  };
  // A range of one of the lists that all steps share.
  struct Range {
    std::uint32_t begin = 0;
    std::uint32_t count = 0;
  };
  struct Call {
    const Op* op;
    Range arguments;
    Range results;
    Range release;
  };
  struct InputUse {
    std::uint32_t argument;
    std::uint32_t input;
  };
  struct Output {
    Source source;
    bool last;   // no later output is the same value
    bool alone;  // no step reads it, and no other output is the same value
  };
  // A result, and one that may lie in the same memory, from which its step starts.
  struct Start {
    std::uint32_t result;
    std::uint32_t start;
  };

  void find_offers();
  void take_offers(Frame& frame, std::span<Value> outputs) const noexcept;
  void prefetch(const Frame& frame) const;
  void run_steps(Context& context, Frame& frame, std::size_t& step) const;

  std::vector<Step> steps_;
  std::size_t input_count_;
  std::vector<Value> constants_;
  std::vector<Call> calls_;
  std::vector<Call> early_;  // those that look ahead, and read inputs alone
  std::vector<Source> arguments_;
  std::vector<InputUse> input_uses_;
  std::vector<std::uint32_t> release_;  // results that no later step reads
  std::vector<std::uint32_t> kept_;     // results that no step releases
  std::vector<Output> outputs_;
  std::vector<Start> starts_;  // the last step's first
  std::uint32_t results_ = 0;
};

}  // namespace pyrec
