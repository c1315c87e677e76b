#include <algorithm>

#include "core/falling_parts.h"
#include "core/sharing.h"
#include "core/watch.h"
#include "plan/convert_input.h"
#include "plan/executor.h"
#include "plan/executor_state.h"
#include "plan/rows.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

constexpr std::int64_t kLeastTile = 24;  // fewer rows are not worth waking a thread for

bool may_hold_texts(const Value& value) {
  return value.is_sequence || value.tensor.dtype == DType::kText;
}

}  // namespace

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

// Whether so many rows are worth waking a thread for.
bool Executor::shares(std::int64_t rows) const {
  return pool_->threads() > 1 && tile_rows_ > 1 && rows >= 2 * least_tile();
}

// Where a tile has few rows, each of them is much work.
std::int64_t Executor::least_tile() const { return std::min(kLeastTile, tile_rows_); }

// Where tiles end that threads share; equal ones for a thread alone.
std::vector<std::int64_t> Executor::shared_tiles(std::int64_t rows, std::int64_t threads) const {
  constexpr std::int64_t kLast = 8;     // of a tile, which is about as much work whatever its rows
  constexpr std::int64_t kPortion = 1;  // a row of a small tile takes longer
  const std::int64_t last = std::clamp<std::int64_t>(tile_rows_ / kLast, 1, kLeastTile);
  const std::int64_t step = std::min<std::int64_t>(8, last);  // kernels have no remainder for 8
  const std::int64_t least = threads == 1 ? tile_rows_ : last / step * step;
  return falling_parts(rows, threads, least, tile_rows_, step, kPortion);
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
