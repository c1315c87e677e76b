#include "plan/executor.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "plan/executor_state.h"
#include "plan/rows.h"
#include "plan/tensor_tools.h"
#include "plan/texts.h"

namespace pyrec {

Executor::Executor(std::vector<InputSpec> inputs, std::size_t symbols, std::vector<Phase> phases,
                   std::vector<OutputSpec> outputs, std::size_t globals, const Kernels& kernels,
                   std::shared_ptr<ThreadPool> pool, std::int64_t tile_rows, std::size_t max_bytes,
                   std::shared_ptr<const Executor> alternative)
    : inputs_(std::move(inputs)),
      symbols_(symbols),
      phases_(std::move(phases)),
      outputs_(std::move(outputs)),
      globals_(globals),
      kernels_(kernels),
      pool_(std::move(pool)),
      tile_rows_(tile_rows),
      max_bytes_(max_bytes),
      alternative_(std::move(alternative)),
      given_(inputs_.size()) {
  if (alternative_ &&
      (alternative_->inputs_.size() != inputs_.size() ||
       alternative_->outputs_.size() != outputs_.size() || alternative_->symbols_ != symbols_)) {
    throw OpError(ErrorKind::kModel, "an alternative with other inputs or outputs");
  }
  if (outputs_.size() != 1) return;
  bool made = false, read = false;
  for (const Phase& phase : phases_) {
    for (const Export& item : phase.exports) {
      made |=
          item.global == outputs_[0].global && item.axis == 0 && phase.kind == Phase::Kind::kTile;
    }
    for (const Import& item : phase.imports) read |= item.global == outputs_[0].global;
  }
  selects_in_tiles_ = made && !read;
}

Executor::~Executor() {
  for (auto& slot : idle_) delete slot.load(std::memory_order_acquire);
}

void Executor::use_for_few_rows(std::shared_ptr<const Executor> other, std::int64_t rows) {
  const auto same = [](const InputSpec& a, const InputSpec& b) {
    return a.name == b.name && a.dtype == b.dtype && a.sizes == b.sizes &&
           a.row_axis == b.row_axis && a.request == b.request;
  };
  if (!std::equal(inputs_.begin(), inputs_.end(), other->inputs_.begin(), other->inputs_.end(),
                  same) ||
      outputs_.size() != other->outputs_.size()) {
    throw OpError(ErrorKind::kModel, "plans of different inputs or outputs");
  }
  few_ = std::move(other);
  few_rows_ = rows;
}

void Executor::derive_inputs(std::vector<Derivation> derivations) {
  std::size_t made = 0;
  for (const Derivation& item : derivations) {
    bool fits = item.sources.size() == item.executor->inputs().size() &&
                item.results.size() == item.executor->output_count();
    made += item.results.size();
    for (std::size_t result : item.results) fits = fits && result < inputs_.size();
    for (std::size_t source : item.sources) fits = fits && source < inputs_.size();
    if (!fits || made > inputs_.size()) {
      throw OpError(ErrorKind::kModel, "a derivation that does not fit the inputs");
    }
  }
  given_ = inputs_.size() - made;
  derivations_ = std::move(derivations);
}

std::unique_ptr<Executor::Workspace> Executor::borrow() const {
  for (auto& slot : idle_) {
    if (slot.load(std::memory_order_relaxed) == nullptr) continue;
    Workspace* workspace = slot.exchange(nullptr, std::memory_order_acquire);
    if (workspace != nullptr) return std::unique_ptr<Workspace>(workspace);
  }
  return std::make_unique<Workspace>(*this, pool_->threads());
}

void Executor::give_back(std::unique_ptr<Workspace> workspace) const {
  workspace->settle();
  for (auto& slot : idle_) {
    Workspace* empty = nullptr;
    if (slot.load(std::memory_order_relaxed) == nullptr &&
        slot.compare_exchange_strong(empty, workspace.get(), std::memory_order_release)) {
      static_cast<void>(workspace.release());
      return;
    }
  }
}

Executor::Session::Session(const Executor& executor)
    : executor_(executor), workspace_(executor.borrow()) {
  workspace_->budget.set_limit(executor.max_bytes_);
}

Executor::Session::~Session() { executor_.give_back(std::move(workspace_)); }

Tensor& Executor::Session::input(std::size_t index) { return workspace_->globals[index].tensor; }

void Executor::Session::announce(const Upcoming& rows) { workspace_->upcoming = rows; }

std::span<const Tensor> Executor::Session::run(std::span<const std::int64_t> offsets) {
  executor_.run(*workspace_, offsets);
  return workspace_->outputs;
}

std::span<const Tensor> Executor::Session::run_tile(std::span<const Tensor> offers) {
  workspace_->offers = offers;
  executor_.run(*workspace_, {});
  return workspace_->outputs;
}

void Executor::Session::run_best(std::span<const std::int64_t> offsets, const Selection& selection,
                                 std::vector<std::vector<Winner>>& winners) {
  executor_.run_best(*workspace_, offsets, selection, winners);
}

Tensor Executor::Session::contiguous(const Tensor& tensor) {
  Context context{executor_.kernels_, workspace_->workers[0].arena, workspace_->symbols};
  return pyrec::contiguous(context, tensor);
}

void Executor::Session::require_room(std::size_t bytes) {
  const Budget& budget = workspace_->budget;
  const auto fits = [&] {
    return bytes <= budget.limit() && budget.held() <= budget.limit() - bytes;
  };
  if (fits()) return;
  for (auto& worker : workspace_->workers) worker.arena.trim();
  if (fits()) return;
  throw OpError(ErrorKind::kMemory, "a call may hold " + std::to_string(budget.limit()) +
                                        " bytes (max_bytes), its results need " +
                                        std::to_string(bytes) + " more beside " +
                                        std::to_string(budget.held()));
}

void Executor::run(Workspace& workspace, std::span<const std::int64_t> offsets) const {
  const Requests requests = bind(workspace, offsets, false);
  if (requests.count != 1) {
    for_each_request(workspace, requests, [&](Call& call) {
      run_request(call);
      give_outputs(call, requests.rows);
    });
    if (workspace.outputs.empty() && !outputs_.empty()) {
      throw OpError(ErrorKind::kShape, "expected at least one candidate");
    }
    return;
  }
  Call call{.workspace = workspace,
            .globals = workspace.globals,
            .shares_tiles = workspace.offers.empty(),
            .rows = requests.rows};
  run_request(call);
  for (const OutputSpec& output : outputs_) {
    const Value& value = workspace.globals[static_cast<std::size_t>(output.global)];
    if (value.is_sequence) {
      throw OpError(ErrorKind::kUnsupported, "a sequence cannot be an output of the model");
    }
    // An output that only depends on the request still has one row for each candidate.
    const bool single = output.row_axis >= 0 && requests.rows != 1 &&
                        value.tensor.shape[output.row_axis] != 0 && value_is_request(output.global);
    if (single) {
      Context context{kernels_, workspace.workers[0].arena, workspace.symbols};
      workspace.outputs.push_back(
          repeat_row(context, value.tensor, output.row_axis, requests.rows));
    } else {
      workspace.outputs.push_back(value.tensor);
    }
  }
}

void Executor::run_best(Workspace& workspace, std::span<const std::int64_t> offsets,
                        const Selection& selection,
                        std::vector<std::vector<Winner>>& winners) const {
  if (outputs_.size() != 1) throw OpError(ErrorKind::kShape, "expected one output to select by");
  const Requests requests = bind(workspace, offsets, selection.shared);
  const Adjustment& given = selection.adjustment;
  const std::int64_t numbers = requests.rows * (selection.by_request ? requests.count : 1);
  if ((given.times || given.plus || given.taken) &&
      selection.numbers != static_cast<std::size_t>(numbers)) {
    throw OpError(ErrorKind::kShape, "expected a number for each candidate");
  }
  winners.resize(static_cast<std::size_t>(requests.count));
  const auto run = [&](Call& call) {
    const auto first = selection.by_request ? call.request * requests.rows : call.first_row;
    const auto from = [first](const auto* values) { return values ? values + first : nullptr; };
    RequestBest best(kernels_, selection.k, call.shares_tiles ? pool_->threads() : 1,
                     {from(given.times), from(given.plus), from(given.taken)});
    call.best = &best;
    run_request(call);
    std::vector<Winner> found = best.finish();
    for (Winner& winner : found) winner.row += call.first_row;
    winners[static_cast<std::size_t>(call.request)] = std::move(found);
  };
  if (requests.count != 1) {
    for_each_request(workspace, requests, run);
    return;
  }
  Call call{.workspace = workspace, .globals = workspace.globals, .rows = requests.rows};
  if (requests.rows > 0) run(call);
}

// use(call) for each request that has candidates: one with many after the other, their tiles shared
// by all threads, then threads share the others.
template <class F>
void Executor::for_each_request(Workspace& workspace, const Requests& requests, F&& use) const {
  constexpr std::int64_t kManyTiles = 8;  // of each thread: the last one to finish is soon done
  const auto threads = static_cast<std::int64_t>(pool_->threads());
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    workspace.inputs[i] = workspace.globals[i].tensor;
  }
  std::vector<std::int64_t> others;
  for (std::int64_t request = 0; request < requests.count; ++request) {
    const std::int64_t rows = requests.size(request);
    if (rows == 0) continue;
    if (threads > 1 && requests.count > 1 && rows < kManyTiles * threads * tile_rows_) {
      others.push_back(request);
      continue;
    }
    Call call{.workspace = workspace, .globals = workspace.globals};
    take_request(call, requests, request);
    use(call);
  }
  if (others.empty()) return;
  for (Workspace::Worker& worker : workspace.workers) worker.globals.resize(globals_);
  const auto size = [&](std::size_t number) { return requests.size(others[number]); };
  pool_->run(others.size(), size, [&](std::size_t number, std::size_t worker) {
    Call call{.workspace = workspace,
              .globals = workspace.workers[worker].globals,
              .worker = worker,
              .shares_tiles = false};
    take_request(call, requests, others[number]);
    use(call);
  });
}

// Sets a request's part of the inputs.
void Executor::take_request(Call& call, const Requests& requests, std::int64_t request) const {
  call.request = request;
  call.first_row = requests.begin(request);
  call.rows = requests.size(request);
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const InputSpec& spec = inputs_[i];
    const Tensor given = borrowed(call.workspace.inputs[i]);
    const int axis = spec.row_axis;
    Tensor& tensor = call.globals[i].tensor;
    if (axis < 0) {
      tensor = given;
    } else if (spec.request) {
      tensor = rows_of(given, axis, request, 1, given.shape[axis]);
    } else {
      tensor = rows_of(given, axis, call.first_row, call.rows, given.shape[axis]);
    }
  }
}

// Writes a request's outputs where those of all requests lie.
void Executor::give_outputs(Call& call, std::int64_t rows) const {
  Workspace& workspace = call.workspace;
  Context context{kernels_, call.own().arena, workspace.symbols};
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const OutputSpec& output = outputs_[i];
    Tensor tensor = call.globals[static_cast<std::size_t>(output.global)].tensor;
    if (output.row_axis < 0) {
      throw OpError(ErrorKind::kUnsupported,
                    "an output that is not by row cannot be given for several requests");
    }
    if (value_is_request(output.global)) {
      tensor = repeat_row(context, tensor, output.row_axis, call.rows);
    }
    Tensor all;
    {
      // Whichever request is first tells the shapes and makes the memory.
      const std::lock_guard lock(workspace.making);
      if (workspace.outputs.size() == i) {
        Shape shape = tensor.shape;
        shape[output.row_axis] = shape[output.row_axis] / call.rows * rows;
        workspace.outputs.push_back(allocate(context, tensor.dtype, shape));
      }
      all = borrowed(workspace.outputs[i]);
    }
    copy_elements(tensor, rows_of(all, output.row_axis, call.first_row, call.rows, rows));
  }
}

bool Executor::value_is_request(std::int32_t global) const {
  if (static_cast<std::size_t>(global) < inputs_.size()) {
    return inputs_[static_cast<std::size_t>(global)].request;
  }
  for (const Phase& phase : phases_) {
    if (phase.kind != Phase::Kind::kRequest) continue;
    for (const Export& item : phase.exports) {
      if (item.global == global) return true;
    }
  }
  return false;
}

// Lets an executor of the same inputs and outputs make the outputs of a request.
void Executor::run_other(Call& call, const Executor& other) const {
  Session session(other);
  Workspace& theirs = *session.workspace_;
  theirs.symbols = call.workspace.symbols;
  const Budget& mine = call.workspace.budget;
  theirs.budget.set_limit(mine.limit() - std::min(mine.limit(), mine.held()));
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    theirs.globals[i] = borrowed(call.globals[i]);
  }
  Call again{.workspace = theirs,
             .globals = theirs.globals,
             .shares_tiles = call.shares_tiles,
             .request = call.request,
             .first_row = call.first_row,
             .rows = call.rows,
             .best = call.best};
  other.run_request(again);
  if (call.best != nullptr) return;
  // The session's memory goes with it.
  Context context{kernels_, call.own().arena, call.workspace.symbols};
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const auto to = static_cast<std::size_t>(outputs_[i].global);
    if (to < inputs_.size()) continue;  // an input that is an output
    const Value& made = theirs.globals[static_cast<std::size_t>(other.outputs_[i].global)];
    if (made.is_sequence) {
      throw OpError(ErrorKind::kUnsupported, "a sequence cannot be an output of the model");
    }
    if (made.tensor.dtype == DType::kText) {
      call.globals[to].tensor = copy_texts(context, made.tensor);
      continue;
    }
    Tensor copy = allocate(context, made.tensor.dtype, made.tensor.shape);
    copy_elements(made.tensor, copy);
    call.globals[to].tensor = std::move(copy);
  }
}

}  // namespace pyrec
