#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/tensor.h"
#include "dispatch/kernels.h"
#include "plan/attributes.h"

namespace pyrec {

class Program;

// Row numbers of a tile that are part of the caller's, and those that this worker is likely to be
// given next.
struct TileIds {
  const std::int64_t* tile;
  const std::int64_t* next;
  std::size_t next_count;
};

// What a run gives to each operator. One per worker; never shared between threads.
struct Context {
  const Kernels& kernels;
  Arena& arena;
  std::span<const std::int64_t> symbols;  // sizes of the symbolic dims, index 0 is the tile's rows
  std::span<const TileIds> ids = {};  // of the tile's inputs, where they are plain int64 vectors
  Upcoming upcoming = {};             // rows of records that the next tile reads
};

// One prepared operator: weights packed, attributes read. Immutable, used by many threads at once.
class Op {
 public:
  virtual ~Op() = default;
  // in[i] is null where an optional input is absent. out.size() is the node's number of outputs;
  // every one must be set, as a new tensor or as a view that shares an input's owner.
  virtual void run(Context& context, std::span<const Value* const> in,
                   std::span<Value> out) const = 0;

  // Whether the only output may come with memory in which the result had better lie; see
  // `made_where_offered`.
  virtual bool takes_offers() const { return false; }
  // The input, if any, that may lie in the memory that is offered for the result: each of its
  // elements is read before the result's element there is written, and not again.
  virtual int starts_from() const { return -1; }

  // Brings what a run with these inputs will read into the cache, as far as it can be told after
  // so many rounds before; between two rounds other operators have theirs. Only where it
  // looks_ahead(), which few do: what hangs together by chains of addresses.
  static constexpr int kRounds = 3;
  virtual bool looks_ahead() const { return false; }
  virtual void prefetch(std::span<const Value* const>, int) const {}
};

// What an operator is made from.
struct OpSpec {
  const Attributes& attributes;
  std::span<const Tensor* const> constants;  // per input: its value if known at load, else null
  std::size_t outputs = 1;
  std::span<const std::shared_ptr<const Program>> bodies;
  const Kernels& kernels;
};

using OpFactory = std::unique_ptr<Op> (*)(const OpSpec&);

struct OpEntry {
  const char* name;
  OpFactory make;
};

// An operator that keeps nothing but its attributes' parsed form `State`, made by `State(spec)`.
// One that takes offers says what its result starts from: `State::kStartsFrom`, -1 for nothing.
template <class State>
class StatefulOp final : public Op {
 public:
  explicit StatefulOp(const OpSpec& spec) : state_(spec) {}
  void run(Context& context, std::span<const Value* const> in,
           std::span<Value> out) const override {
    state_.run(context, in, out);
  }
  bool takes_offers() const override {
    return requires { State::kStartsFrom; };
  }
  int starts_from() const override {
    if constexpr (requires { State::kStartsFrom; }) return State::kStartsFrom;
    return Op::starts_from();
  }
  bool looks_ahead() const override { return kLooksAhead; }
  void prefetch(std::span<const Value* const> in, int round) const override {
    if constexpr (kLooksAhead) {
      if (round > 0) return state_.prefetch(in, round);
      for (std::size_t at = 0; at < sizeof(State); at += 64) {
        __builtin_prefetch(reinterpret_cast<const char*>(&state_) + at);
      }
    }
  }

 private:
  static constexpr bool kLooksAhead =
      requires(const State& state, std::span<const Value* const> in) { state.prefetch(in, 1); };

  State state_;
};

template <class State>
std::unique_ptr<Op> make_op(const OpSpec& spec) {
  return std::make_unique<StatefulOp<State>>(spec);
}

}  // namespace pyrec
