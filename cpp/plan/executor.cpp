#include "plan/executor.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "core/sharing.h"
#include "core/watch.h"
#include "plan/convert_input.h"
#include "plan/tensor_tools.h"
#include "plan/texts.h"

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

namespace {

constexpr std::int64_t kLeastTile = 24;  // fewer rows are not worth waking a thread for

// How many entries along an axis each of `rows` rows has.
std::int64_t entries_per_row(const Tensor& tensor, int axis, std::int64_t rows) {
  if (axis >= tensor.rank()) throw OpError(ErrorKind::kShape, "a value lost its row axis");
  const std::int64_t size = tensor.shape[axis];
  if (size == rows) return 1;
  const std::int64_t multiple = rows == 0 ? 0 : size / rows;
  if (multiple * rows != size) {
    throw OpError(ErrorKind::kShape, "a value has " + std::to_string(size) + " entries along its " +
                                         "row axis, which is no multiple of " +
                                         std::to_string(rows) + " rows");
  }
  return multiple;
}

Tensor rows_of(const Tensor& tensor, int axis, std::int64_t begin, std::int64_t count,
               std::int64_t total) {
  const std::int64_t multiple = entries_per_row(tensor, axis, total);
  Shape shape = tensor.shape;
  shape[axis] = multiple * count;
  return view(tensor, shape, tensor.strides,
              shape.elements() == 0 ? 0 : begin * multiple * tensor.strides[axis]);
}

// One row repeated `rows` times. A row of several entries cannot be a stride-0 view of that axis.
Tensor repeat_row(Context& context, const Tensor& tensor, int axis, std::int64_t rows) {
  if (axis >= tensor.rank()) throw OpError(ErrorKind::kShape, "a value lost its row axis");
  const std::int64_t multiple = tensor.shape[axis];
  Shape shape = tensor.shape;
  shape[axis] = multiple * rows;
  Shape strides = tensor.strides;
  if (multiple == 1) {
    strides[axis] = 0;
    return view(tensor, shape, strides);
  }
  Tensor repeated = allocate(context, tensor.dtype, shape);
  for (std::int64_t row = 0; row < rows; ++row) {
    copy_elements(tensor, rows_of(repeated, axis, row, 1, rows));
  }
  return repeated;
}

Tensor borrowed(const Tensor& tensor) {
  // Not a copy that drops its owner: counting the reference is not this thread's right.
  return {tensor.data, tensor.dtype, tensor.shape, tensor.strides, BufferRef()};
}

bool may_hold_texts(const Value& value) {
  return value.is_sequence || value.tensor.dtype == DType::kText;
}

Value borrowed(const Value& value) {
  Value copy;
  copy.is_sequence = value.is_sequence;
  if (value.is_sequence) {
    for (const Tensor& tensor : value.sequence) copy.sequence.push_back(borrowed(tensor));
  } else {
    copy.tensor = borrowed(value.tensor);
  }
  return copy;
}

}  // namespace

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

void Executor::bind_symbols(Workspace& workspace, std::size_t inputs, std::int64_t& requests,
                            std::int64_t& rows) const {
  std::vector<std::int64_t>& symbols = workspace.symbols;
  symbols.assign(symbols_, -1);
  requests = -1;
  rows = -1;
  const InputSpec* first_of[2] = {nullptr, nullptr};
  for (std::size_t i = 0; i < inputs; ++i) {
    const InputSpec& spec = inputs_[i];
    const Shape& shape = workspace.globals[i].tensor.shape;
    const auto fail = [&](const std::string& expected) {
      throw StepError(
          OpError(ErrorKind::kShape, "expected " + expected + ", got shape " + describe(shape)),
          "input '" + spec.name + "'");
    };
    if (static_cast<std::size_t>(shape.rank()) != spec.sizes.size()) {
      fail("rank " + std::to_string(spec.sizes.size()));
    }
    for (int axis = 0; axis < shape.rank(); ++axis) {
      const std::int64_t expected = spec.sizes[static_cast<std::size_t>(axis)];
      if (axis == spec.row_axis) {
        std::int64_t& count = spec.request ? requests : rows;
        if (count < 0) {
          count = shape[axis];
          first_of[spec.request] = &spec;
        } else if (count != shape[axis]) {
          throw StepError(
              OpError(ErrorKind::kRows, "expected " + std::to_string(count) + " rows, as input '" +
                                            first_of[spec.request]->name + "' has, got " +
                                            std::to_string(shape[axis])),
              "input '" + spec.name + "'");
        }
      } else if (expected >= 0) {
        if (shape[axis] != expected) {
          fail("size " + std::to_string(expected) + " along axis " + std::to_string(axis));
        }
      } else {
        std::int64_t& size = symbols[static_cast<std::size_t>(-1 - expected)];
        if (size < 0) {
          size = shape[axis];
        } else if (size != shape[axis]) {
          fail("size " + std::to_string(size) + " along axis " + std::to_string(axis) +
               ", as another input has,");
        }
      }
    }
  }
}

void Executor::derive(Workspace& workspace, std::span<const std::int64_t> offsets,
                      bool shared) const {
  std::int64_t requests = -1;
  std::int64_t rows = -1;
  bind_symbols(workspace, given_, requests, rows);
  if (rows < 0 && !offsets.empty()) rows = offsets.back();
  std::int64_t count = offsets.empty() ? 1 : static_cast<std::int64_t>(offsets.size()) - 1;
  if (shared && requests >= 0) count = requests;
  for (const Derivation& item : derivations_) {
    workspace.derived.push_back(std::make_unique<Session>(*item.executor));
    Session& session = *workspace.derived.back();
    for (std::size_t i = 0; i < item.sources.size(); ++i) {
      session.input(i) = borrowed(workspace.globals[item.sources[i]].tensor);
    }
    // Its inputs may tell no number of rows.
    const std::int64_t own = item.request ? count : rows;
    const std::int64_t whole[] = {0, own};
    const auto made = session.run(own < 0 ? std::span<const std::int64_t>() : whole);
    for (std::size_t i = 0; i < made.size(); ++i) {
      workspace.globals[item.results[i]].tensor = borrowed(made[i]);
    }
  }
}

Executor::Requests Executor::bind(Workspace& workspace, std::span<const std::int64_t> offsets,
                                  bool shared) const {
  if (!derivations_.empty()) derive(workspace, offsets, shared);
  std::int64_t requests = -1;
  std::int64_t rows = -1;
  bind_symbols(workspace, inputs_.size(), requests, rows);
  std::int64_t count = offsets.empty() ? 1 : static_cast<std::int64_t>(offsets.size()) - 1;
  if (shared && requests >= 0) count = requests;
  if (requests >= 0 && requests != count) {
    const auto first = std::ranges::find_if(
        inputs_, [](const InputSpec& spec) { return spec.request && spec.row_axis >= 0; });
    throw StepError(OpError(ErrorKind::kRows, "expected " + std::to_string(count) +
                                                  " rows, one for each request, got " +
                                                  std::to_string(requests)),
                    "input '" + first->name + "'");
  }
  if (rows < 0) rows = offsets.empty() ? 1 : offsets.back();
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
    if (offsets[i] > offsets[i + 1]) throw OpError(ErrorKind::kShape, "offsets must not decrease");
  }
  if (!offsets.empty() && (offsets.front() != 0 || offsets.back() != rows)) {
    throw OpError(ErrorKind::kShape,
                  "offsets must run from 0 to the number of candidates, " + std::to_string(rows));
  }
  return {offsets, count, rows};
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

void Executor::run_request(Call& call) const {
  if (few_ && call.rows < few_rows_) {
    run_other(call, *few_);
    return;
  }
  if (call.shares_tiles) expect(call.rows);
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const InputSpec& spec = inputs_[i];
    Tensor& tensor = call.globals[i].tensor;
    // Rows of candidates are converted tile by tile.
    if (tensor.dtype == spec.dtype || (!spec.request && spec.row_axis >= 0)) continue;
    Context context{kernels_, call.own().arena, call.workspace.symbols};
    try {
      tensor = convert_input(context, tensor, spec.dtype, -1);
    } catch (OpError& error) {
      error.row = call.request;
      throw StepError(error, "input '" + spec.name + "'");
    }
  }
  try {
    run_phases(call);
  } catch (const OpError& error) {
    if (error.kind != ErrorKind::kAlternative || !alternative_) throw;
    if (call.best != nullptr) call.best->reset();
    run_other(call, *alternative_);
    return;
  }
  if (call.best != nullptr && !selects_in_tiles_) give_whole_scores(call);
}

void Executor::run_phases(Call& call) const {
  for (std::size_t index = 0; index < phases_.size(); ++index) run_phase(call, index);
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

// Whether so many rows are worth waking a thread for.
bool Executor::shares(std::int64_t rows) const {
  return pool_->threads() > 1 && tile_rows_ > 1 && rows >= 2 * least_tile();
}

// Where a tile has few rows, each of them is much work.
std::int64_t Executor::least_tile() const { return std::min(kLeastTile, tile_rows_); }

// Where tiles end that threads share: large ones first, which read weights for many rows, and small
// ones last, so that threads finish together, whether one came late or is slow. Equal ones for a
// thread alone.
std::vector<std::int64_t> Executor::shared_tiles(std::int64_t rows, std::int64_t threads) const {
  constexpr std::int64_t kPart = 3;  // of what is left for a thread
  constexpr std::int64_t kLast = 8;  // of a tile, which is about as much work whatever its rows
  const std::int64_t last = std::clamp<std::int64_t>(tile_rows_ / kLast, 1, kLeastTile);
  const std::int64_t step = std::min<std::int64_t>(8, last);  // kernels have no remainder for 8
  const std::int64_t least = last / step * step;
  std::vector<std::int64_t> ends;
  for (std::int64_t end = 0; end < rows;) {
    const std::int64_t left = rows - end;
    const std::int64_t part = (left / (kPart * threads) + step - 1) / step * step;
    const std::int64_t shared = std::min(tile_rows_, std::max(least, part));
    const std::int64_t size = threads == 1 ? tile_rows_ : shared;
    const bool rest = threads > 1 && left < size + least && left <= tile_rows_;
    end = rest ? rows : std::min(rows, end + size);
    ends.push_back(end);
  }
  return ends;
}

void Executor::run_phase(Call& call, std::size_t index) const {
  const bool tiled = phases_[index].kind == Phase::Kind::kTile;
  const std::int64_t rows = phases_[index].kind == Phase::Kind::kRequest ? 1 : call.rows;
  const bool shared = tiled && call.shares_tiles && shares(rows);
  if (!shared && (!tiled || phases_[index].at_once || rows <= tile_rows_)) {
    run_tile(call, index, {0, rows, 0, 0}, call.worker);
    return;
  }
  for (const Export& item : phases_[index].exports) {
    call.globals[static_cast<std::size_t>(item.global)].reset();
  }
  if (!shared) {
    for (std::int64_t begin = 0; begin < rows;) {
      const std::int64_t end = std::min(begin + tile_rows_, rows);
      const std::int64_t next = std::min(end + tile_rows_, rows);
      if (begin > 0) Watch::check();
      run_tile(call, index, {begin, end - begin, end, next - end}, call.worker);
      begin = end;
    }
    return;
  }
  const std::size_t threads = pool_->shares() ? pool_->threads() : 1;
  const auto ends = shared_tiles(rows, static_cast<std::int64_t>(threads));
  const auto bounds = [&](std::size_t number) {
    number = std::min(number, ends.size());
    return number == 0 ? 0 : ends[number - 1];
  };
  const auto size = [&](std::size_t number) { return bounds(number + 1) - bounds(number); };
  pool_->run(ends.size(), size, [&](std::size_t number, std::size_t worker) {
    const std::int64_t begin = bounds(number), end = bounds(number + 1);
    // The others take those between.
    const std::int64_t next = bounds(number + threads), next_end = bounds(number + threads + 1);
    run_tile(call, index, {begin, end - begin, next, next_end - next}, worker);
  });
}

void Executor::run_tile(Call& call, std::size_t index, const Tile& tile,
                        std::size_t worker_number) const {
  const auto [begin, count, next, next_count] = tile;
  const Phase& phase = phases_[index];
  const auto& globals = call.globals;
  Workspace::Worker& worker = call.workspace.workers[worker_number];
  Workspace::PhaseState& state = worker.phases[index];
  const std::int64_t rows = phase.kind == Phase::Kind::kRequest ? 1 : call.rows;
  // The only tile may share the globals' memory; of several tiles none may count references to it.
  const bool alone = count == rows;
  const std::size_t kept = worker.arena.kept();
  worker.symbols = call.workspace.symbols;
  worker.symbols[0] = count;
  worker.ids.clear();
  Context context{kernels_, worker.arena, worker.symbols};
  context.upcoming = call.workspace.upcoming;
  const bool waits = phase.kind == Phase::Kind::kRequest && call.shares_tiles && shares(call.rows);
  const Sharing sharing(waits ? pool_.get() : nullptr);
  try {
    for (std::size_t i = 0; i < phase.imports.size(); ++i) {
      const Import& import = phase.imports[i];
      const auto global = static_cast<std::size_t>(import.global);
      const bool converted =
          global < inputs_.size() && globals[global].tensor.dtype != inputs_[global].dtype;
      const bool same = import.mode == Import::Mode::kWhole ||
                        (import.mode == Import::Mode::kRepeat && count == 1);
      const bool all = alone && import.mode == Import::Mode::kSlice;
      if (all) entries_per_row(globals[global].tensor, import.axis, rows);
      if ((all || (alone && same)) && !converted) {
        state.arguments[i] = &globals[global];
        continue;
      }
      Value& value = state.imports[i];
      value = borrowed(globals[global]);
      if (import.mode == Import::Mode::kSlice) {
        value.tensor = rows_of(value.tensor, import.axis, begin, count, rows);
        const Tensor& ids = value.tensor;
        const bool known = ids.dtype == DType::kInt64 && ids.rank() == 1 && ids.strides[0] == 1;
        if (known && next_count > 0) {
          const auto* first = ids.as<std::int64_t>();
          worker.ids.push_back(
              {first, first + (next - begin), static_cast<std::size_t>(next_count)});
        }
      } else if (import.mode == Import::Mode::kRepeat) {
        value.tensor = repeat_row(context, value.tensor, import.axis, count);
      }
      if (converted) {
        try {
          value.tensor = convert_input(context, value.tensor, inputs_[global].dtype, import.axis);
        } catch (const OpError& error) {
          throw StepError(error, "input '" + inputs_[global].name + "'");
        }
      }
      state.arguments[i] = &value;
    }
    context.ids = worker.ids;
    const bool offered = offer(call, phase, state.exports);
    phase.program->run(context, state.frame, state.arguments, state.exports, offered);
  } catch (OpError& error) {
    if (error.row >= 0) {
      error.row =
          phase.kind == Phase::Kind::kRequest ? call.request : error.row + begin + call.first_row;
    }
    throw;
  }
  bool exports_texts = false;
  for (std::size_t i = 0; i < phase.exports.size(); ++i) {
    Value& made = state.exports[i];
    exports_texts = exports_texts || may_hold_texts(made);
    if (call.best != nullptr && selects_in_tiles_ &&
        phase.exports[i].global == outputs_[0].global) {
      give_scores(call, made.tensor, begin, count, worker_number, context);
    } else {
      finish_export(call, phase, i, made, begin, count, context);
    }
    made.reset();
  }
  for (Value& value : state.imports) value.reset();
  if (!exports_texts) worker.arena.let_go(kept);
}

// Gives what a phase makes of the outputs the memory that the caller has for them, if any.
bool Executor::offer(const Call& call, const Phase& phase, std::vector<Value>& exports) const {
  const std::span<const Tensor> offers = call.workspace.offers;
  if (offers.empty()) return false;
  for (std::size_t j = 0; j < exports.size(); ++j) {
    exports[j].reset();
    for (std::size_t i = 0; i < offers.size(); ++i) {
      if (phase.exports[j].global == outputs_[i].global) exports[j].tensor = offers[i];
    }
  }
  return true;
}

void Executor::finish_export(Call& call, const Phase& phase, std::size_t number, Value& made,
                             std::int64_t begin, std::int64_t count, Context& context) const {
  const Export& item = phase.exports[number];
  Value& target = call.globals[static_cast<std::size_t>(item.global)];
  if (phase.kind != Phase::Kind::kTile || item.axis < 0) {
    // Values that borrow an import's or a constant's memory stay valid: those outlive the call.
    if (begin == 0) target = std::move(made);
    return;
  }
  const Tensor& part = made.tensor;
  const std::int64_t divisor = std::max<std::int64_t>(count, 1);
  if (item.axis >= part.rank() || part.shape[item.axis] % divisor != 0) {
    throw OpError(ErrorKind::kShape, "a value lost its row axis");
  }
  if (count == call.rows) {
    target = std::move(made);
    return;
  }
  Tensor place;
  {
    // Whichever tile is first tells the shape and makes the memory.
    const std::lock_guard lock(call.workspace.making);
    if (target.tensor.data == nullptr) {
      Shape shape = part.shape;
      shape[item.axis] = shape[item.axis] / count * call.rows;
      target.tensor = allocate(context, part.dtype, shape);
    }
    place = borrowed(target.tensor);
  }
  place = rows_of(place, item.axis, begin, count, call.rows);
  if (place.shape != part.shape || place.dtype != part.dtype) {
    throw OpError(ErrorKind::kShape, "rows of the batch are not independent: a tile has shape " +
                                         describe(part.shape) + ", expected " +
                                         describe(place.shape));
  }
  copy_elements(part, place);
}

void Executor::give_scores(Call& call, const Tensor& scores, std::int64_t begin, std::int64_t count,
                           std::size_t worker, Context& context) const {
  if (scores.rank() == 0 || scores.shape[0] != count || scores.elements() != count) {
    throw OpError(ErrorKind::kShape,
                  "expected one score for each candidate, got shape " + describe(scores.shape));
  }
  const Tensor packed = contiguous(context, cast(context, scores, DType::kFloat32));
  call.best->collect(call.shares_tiles ? worker : 0,
                     {packed.as<float>(), static_cast<std::size_t>(count)},
                     static_cast<std::size_t>(begin));
}

// Scores that do not come out of tiles are compared once they are all there.
void Executor::give_whole_scores(Call& call) const {
  Context context{kernels_, call.own().arena, call.workspace.symbols};
  const Value& value = call.globals[static_cast<std::size_t>(outputs_[0].global)];
  if (value.is_sequence) {
    throw OpError(ErrorKind::kUnsupported, "a sequence cannot be an output of the model");
  }
  Tensor scores = borrowed(value.tensor);
  if (outputs_[0].row_axis == 0 && value_is_request(outputs_[0].global)) {
    scores = repeat_row(context, scores, 0, call.rows);
  }
  give_scores(call, scores, 0, call.rows, 0, context);
}

}  // namespace pyrec
