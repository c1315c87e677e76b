#pragma once

// What the parts of an executor hand on to each other within a call.

#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "plan/executor.h"

namespace pyrec {

// Everything one call mutates. Workers' arenas outlive the values made in them.
struct Executor::Workspace {
  struct PhaseState {
    explicit PhaseState(const Phase& phase)
        : frame(*phase.program),
          imports(phase.imports.size()),
          arguments(phase.imports.size()),
          exports(phase.exports.size()) {}

    Program::Frame frame;
    std::vector<Value> imports;
    std::vector<const Value*> arguments;
    std::vector<Value> exports;
  };
  struct alignas(64) Worker {
    Arena arena;
    std::vector<std::int64_t> symbols;
    std::vector<PhaseState> phases;
    std::vector<TileIds> ids;
    std::vector<Value> globals;  // of a request that this worker runs alone
  };

  Workspace(const Executor& executor, std::size_t count)
      : workers(count), globals(executor.globals_), inputs(executor.inputs_.size()) {
    for (Worker& worker : workers) {
      worker.arena.set_budget(budget);
      worker.phases.reserve(executor.phases_.size());
      for (const Phase& phase : executor.phases_) worker.phases.emplace_back(phase);
    }
  }

  // Lets go of every value, also of those that an error left behind.
  void settle() {
    outputs.clear();
    upcoming = {};
    offers = {};
    for (Tensor& tensor : inputs) tensor.reset();
    for (Value& value : globals) value.reset();
    derived.clear();
    for (Worker& worker : workers) {
      for (PhaseState& phase : worker.phases) {
        for (Value& value : phase.imports) value.reset();
        for (Value& value : phase.exports) value.reset();
      }
      for (Value& value : worker.globals) value.reset();
      worker.arena.settle();
    }
    // What is left over must not count against what the next call needs.
    if (budget.held() > budget.limit() / 4) {
      for (Worker& worker : workers) worker.arena.trim();
    }
  }

  Budget budget;
  std::vector<Worker> workers;
  std::vector<Value> globals;
  std::vector<Tensor> inputs;  // what the caller gave, where several requests share it
  std::vector<Tensor> outputs;
  std::vector<std::int64_t> symbols;
  Upcoming upcoming;
  std::span<const Tensor> offers;  // for each output, of a call that is one tile; else empty
  std::vector<std::unique_ptr<Session>> derived;  // own the memory of the inputs that they made
  std::mutex making;  // held to make the memory that several threads write to
};

// One request on its way.
struct Executor::Call {
  Workspace& workspace;
  std::vector<Value>& globals;
  std::size_t worker = 0;    // who runs it, or the tiles that are not shared
  bool shares_tiles = true;  // whether other threads run tiles of it
  std::int64_t request = 0;
  std::int64_t first_row = 0;   // of the request, in the caller's numbering
  std::int64_t rows = 0;        // of the request
  RequestBest* best = nullptr;  // where scores go instead of the output

  Workspace::Worker& own() const { return workspace.workers[worker]; }
};

// Some rows of a request, and those that the same thread takes next, as far as is known.
struct Executor::Tile {
  std::int64_t begin;
  std::int64_t count;
  std::int64_t next;
  std::int64_t next_count;
};

// The requests of a call.
struct Executor::Requests {
  std::span<const std::int64_t> offsets;  // empty: every request has all rows
  std::int64_t count = 1;
  std::int64_t rows = 0;  // of the call

  std::int64_t begin(std::int64_t request) const {
    return offsets.empty() ? 0 : offsets[static_cast<std::size_t>(request)];
  }
  std::int64_t size(std::int64_t request) const {
    return offsets.empty() ? rows : begin(request + 1) - begin(request);
  }
};

}  // namespace pyrec
