#include "plan/executor.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "plan/tensor_tools.h"

namespace pyrec {

// Everything one call mutates. Workers' arenas outlive the values made in them.
struct Executor::Workspace {
  struct Worker {
    Arena arena;
    std::vector<Program::Frame> frames;  // one for each phase
    std::vector<Value> imports;
    std::vector<const Value*> pointers;
    std::vector<Value> exports;
  };
  explicit Workspace(std::size_t workers) : workers(workers) {}

  // Lets go of every value, also of those that an error left behind.
  void settle() {
    globals.clear();
    for (Worker& worker : workers) {
      worker.imports.clear();
      worker.exports.clear();
      worker.arena.settle();
    }
  }

  std::vector<Worker> workers;
  std::vector<Value> globals;
};

struct Executor::Call {
  std::span<const Tensor> inputs;
  std::vector<std::int64_t> symbols;
  Workspace& workspace;
  std::int64_t request = 0;
  std::int64_t first_row = 0;  // of the current request, in the caller's numbering
};

namespace {

Tensor rows_of(const Tensor& tensor, int axis, std::int64_t begin, std::int64_t count,
               std::int64_t total) {
  if (axis >= tensor.rank()) throw OpError(ErrorKind::kShape, "a value lost its row axis");
  const std::int64_t size = tensor.shape[axis];
  const std::int64_t multiple = total == 0 ? 0 : size / total;
  if (multiple * total != size) {
    throw OpError(ErrorKind::kShape, "a value has " + std::to_string(size) + " entries along its " +
                                         "row axis, which is no multiple of " +
                                         std::to_string(total) + " rows");
  }
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
  Tensor copy = tensor;
  copy.owner = BufferRef();
  return copy;
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
                   std::shared_ptr<ThreadPool> pool, std::int64_t tile_rows)
    : inputs_(std::move(inputs)),
      symbols_(symbols),
      phases_(std::move(phases)),
      outputs_(std::move(outputs)),
      globals_(globals),
      kernels_(kernels),
      pool_(std::move(pool)),
      tile_rows_(tile_rows) {}

Executor::~Executor() = default;

std::shared_ptr<Executor::Workspace> Executor::borrow() const {
  std::unique_ptr<Workspace> workspace;
  {
    // A fork may leave the lock taken for ever in the child; then each call makes its own.
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (lock && !idle_.empty()) {
      workspace = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (!workspace) {
    workspace = std::make_unique<Workspace>(pool_->threads());
    for (auto& worker : workspace->workers) {
      for (const Phase& phase : phases_) worker.frames.emplace_back(*phase.program);
    }
  }
  workspace->globals.assign(globals_, Value());
  return {workspace.release(), [this](Workspace* returned) {
            std::unique_ptr<Workspace> owned(returned);
            owned->settle();
            const std::unique_lock lock(mutex_, std::try_to_lock);
            if (lock && idle_.size() < 16) idle_.push_back(std::move(owned));
          }};
}

std::vector<std::int64_t> Executor::bind_symbols(std::span<const Tensor> inputs,
                                                 std::int64_t& requests, std::int64_t& rows) const {
  std::vector<std::int64_t> symbols(symbols_, -1);
  requests = -1;
  rows = -1;
  std::string first_of[2];
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const InputSpec& spec = inputs_[i];
    const Shape& shape = inputs[i].shape;
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
          first_of[spec.request] = spec.name;
        } else if (count != shape[axis]) {
          throw StepError(
              OpError(ErrorKind::kRows, "expected " + std::to_string(count) + " rows, as input '" +
                                            first_of[spec.request] + "' has, got " +
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
  return symbols;
}

Executor::Result Executor::run(std::span<const Tensor> inputs,
                               std::span<const std::int64_t> offsets) const {
  if (inputs.size() != inputs_.size()) throw OpError(ErrorKind::kShape, "wrong number of inputs");
  std::int64_t requests = -1;
  std::int64_t rows = -1;
  std::vector<std::int64_t> symbols = bind_symbols(inputs, requests, rows);
  const std::int64_t count = offsets.empty() ? 1 : static_cast<std::int64_t>(offsets.size()) - 1;
  if (requests >= 0 && requests != count) {
    throw OpError(ErrorKind::kRows, "expected " + std::to_string(count) + " request rows, got " +
                                        std::to_string(requests));
  }
  if (rows < 0) rows = offsets.empty() ? 1 : offsets.back();
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
    if (offsets[i] > offsets[i + 1]) throw OpError(ErrorKind::kShape, "offsets must not decrease");
  }
  if (!offsets.empty() && (offsets.front() != 0 || offsets.back() != rows)) {
    throw OpError(ErrorKind::kShape,
                  "offsets must run from 0 to the number of candidates, " + std::to_string(rows));
  }

  Result result;
  result.workspace = borrow();
  Call call{inputs, std::move(symbols), *result.workspace};
  if (count == 1) {
    run_request(call, 0, 0, rows);
    for (const OutputSpec& output : outputs_) {
      const Value& value = call.workspace.globals[static_cast<std::size_t>(output.global)];
      if (value.is_sequence) {
        throw OpError(ErrorKind::kUnsupported, "a sequence cannot be an output of the model");
      }
      Tensor tensor = value.tensor;
      // An output that only depends on the request still has one row for each candidate.
      const bool single = output.row_axis >= 0 && rows != 1 && tensor.shape[output.row_axis] != 0 &&
                          value_is_request(output.global);
      if (single) {
        Context context{kernels_, call.workspace.workers[0].arena, call.symbols};
        tensor = repeat_row(context, tensor, output.row_axis, rows);
      }
      result.outputs.push_back(std::move(tensor));
    }
    return result;
  }
  Context context{kernels_, call.workspace.workers[0].arena, call.symbols};
  for (std::int64_t request = 0; request < count; ++request) {
    const std::int64_t begin = offsets[static_cast<std::size_t>(request)];
    const std::int64_t end = offsets[static_cast<std::size_t>(request) + 1];
    if (begin == end) continue;
    run_request(call, request, begin, end);
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      const OutputSpec& output = outputs_[i];
      Tensor tensor = call.workspace.globals[static_cast<std::size_t>(output.global)].tensor;
      if (output.row_axis < 0) {
        throw OpError(ErrorKind::kUnsupported,
                      "an output that is not by row cannot be given for several requests");
      }
      if (value_is_request(output.global)) {
        tensor = repeat_row(context, tensor, output.row_axis, end - begin);
      }
      if (result.outputs.size() == i) {
        Shape shape = tensor.shape;
        shape[output.row_axis] = shape[output.row_axis] / (end - begin) * rows;
        result.outputs.push_back(allocate(context, tensor.dtype, shape));
      }
      copy_elements(tensor, rows_of(result.outputs[i], output.row_axis, begin, end - begin, rows));
    }
  }
  if (result.outputs.empty() && !outputs_.empty()) {
    throw OpError(ErrorKind::kShape, "expected at least one candidate");
  }
  return result;
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

void Executor::run_request(Call& call, std::int64_t request, std::int64_t begin,
                           std::int64_t end) const {
  call.request = request;
  call.first_row = begin;
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const InputSpec& spec = inputs_[i];
    Tensor tensor = call.inputs[i];
    if (spec.row_axis >= 0) {
      tensor =
          spec.request
              ? rows_of(tensor, spec.row_axis, request, 1, tensor.shape[spec.row_axis])
              : rows_of(tensor, spec.row_axis, begin, end - begin, tensor.shape[spec.row_axis]);
    }
    // Rows of candidates are converted tile by tile.
    if (tensor.dtype != spec.dtype && (spec.request || spec.row_axis < 0)) {
      Context context{kernels_, call.workspace.workers[0].arena, call.symbols};
      try {
        tensor = convert_input(context, tensor, spec.dtype, -1);
      } catch (OpError& error) {
        error.row = request;
        throw StepError(error, "input '" + spec.name + "'");
      }
    }
    Value& value = call.workspace.globals[i];
    value = Value();
    value.tensor = std::move(tensor);
  }
  for (std::size_t index = 0; index < phases_.size(); ++index) {
    run_phase(call, index, end - begin);
  }
}

void Executor::run_phase(Call& call, std::size_t index, std::int64_t rows) const {
  const Phase& phase = phases_[index];
  auto& globals = call.workspace.globals;
  const bool tiled = phase.kind == Phase::Kind::kTile;
  const std::int64_t phase_rows = phase.kind == Phase::Kind::kRequest ? 1 : rows;
  const std::int64_t tile = tiled ? tile_rows_ : std::max<std::int64_t>(phase_rows, 1);
  const std::int64_t tiles = std::max<std::int64_t>((phase_rows + tile - 1) / tile, 1);

  const auto run_tile = [&](std::size_t number, std::size_t worker_number) {
    Workspace::Worker& worker = call.workspace.workers[worker_number];
    const std::int64_t begin = static_cast<std::int64_t>(number) * tile;
    const std::int64_t count = std::min(tile, phase_rows - begin);
    std::vector<std::int64_t> symbols = call.symbols;
    symbols[0] = count;
    Context context{kernels_, worker.arena, symbols};
    try {
      worker.imports.resize(phase.imports.size());
      worker.pointers.resize(phase.imports.size());
      for (std::size_t i = 0; i < phase.imports.size(); ++i) {
        const Import& import = phase.imports[i];
        Value& value = worker.imports[i];
        const auto global = static_cast<std::size_t>(import.global);
        value = borrowed(globals[global]);
        if (import.mode == Import::Mode::kSlice) {
          value.tensor = rows_of(value.tensor, import.axis, begin, count, phase_rows);
        } else if (import.mode == Import::Mode::kRepeat) {
          value.tensor = repeat_row(context, value.tensor, import.axis, count);
        }
        if (global < inputs_.size() && value.tensor.dtype != inputs_[global].dtype) {
          try {
            value.tensor = convert_input(context, value.tensor, inputs_[global].dtype, import.axis);
          } catch (const OpError& error) {
            throw StepError(error, "input '" + inputs_[global].name + "'");
          }
        }
        worker.pointers[i] = &value;
      }
      worker.exports.resize(phase.exports.size());
      phase.program->run(context, worker.frames[index], worker.pointers, worker.exports);
    } catch (OpError& error) {
      if (error.row >= 0) {
        error.row =
            phase.kind == Phase::Kind::kRequest ? call.request : error.row + begin + call.first_row;
      }
      throw;
    }
    for (std::size_t i = 0; i < phase.exports.size(); ++i) {
      const Export& item = phase.exports[i];
      Value& target = globals[static_cast<std::size_t>(item.global)];
      Value& made = worker.exports[i];
      if (!tiled || item.axis < 0) {
        // Values that borrow an import's or a constant's memory stay valid: those outlive the call.
        if (number == 0) target = std::move(made);
      } else {
        const Tensor& part = made.tensor;
        if (number == 0) {
          Shape shape = part.shape;
          const std::int64_t tile_count = std::max<std::int64_t>(count, 1);
          if (item.axis >= shape.rank() || shape[item.axis] % tile_count != 0) {
            throw OpError(ErrorKind::kShape, "a value lost its row axis");
          }
          shape[item.axis] = shape[item.axis] / tile_count * phase_rows;
          target = Value();
          target.tensor = allocate(context, part.dtype, shape);
        }
        const Tensor place = rows_of(borrowed(target.tensor), item.axis, begin, count, phase_rows);
        if (place.shape != part.shape || place.dtype != part.dtype) {
          throw OpError(ErrorKind::kShape,
                        "rows of the batch are not independent: a tile has shape " +
                            describe(part.shape) + ", expected " + describe(place.shape));
        }
        copy_elements(part, place);
      }
      made = Value();
    }
    for (Value& value : worker.imports) value = Value();
  };

  // The first tile tells the shapes, so that the others can write in any order.
  run_tile(0, 0);
  if (tiles > 1) {
    pool_->run(static_cast<std::size_t>(tiles - 1),
               [&](std::size_t number, std::size_t worker) { run_tile(number + 1, worker); });
  }
}

}  // namespace pyrec
