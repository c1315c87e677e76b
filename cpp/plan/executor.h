#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "plan/program.h"

namespace pyrec {

// One input of the model as one split of the inputs sees it.
struct InputSpec {
  std::string name;
  DType dtype;
  // Per axis: a size >= 0, or -1 - s for symbol s. Symbol 0 is the batch.
  std::vector<std::int64_t> sizes;
  int row_axis = -1;  // -1: the input has no rows and is the same for every candidate
  bool request = false;
};

// How a phase sees a value from outside it.
struct Import {
  enum class Mode {
    kWhole,   // as it is
    kSlice,   // the rows of the current tile
    kRepeat,  // its single row, repeated to the tile's rows
  };
  std::int32_t global;
  Mode mode;
  int axis;
};

// A value that later phases or the caller need. axis -1: the same for all tiles.
struct Export {
  std::int32_t global;
  int axis;
};

struct Phase {
  enum class Kind { kRequest, kTile, kWhole };
  Kind kind;
  std::shared_ptr<const Program> program;
  std::vector<Import> imports;  // one for each input of the program
  std::vector<Export> exports;  // one for each output of the program
};

struct OutputSpec {
  std::int32_t global;
  int row_axis;  // -1: not by row
};

// Runs a plan: the request's phase once for each request, then the candidates' phases over tiles of
// rows or, where rows are coupled, over all rows at once. Globals are the inputs, in order,
// followed by every exported value. Immutable; any number of threads may call run.
class Executor {
 public:
  Executor(std::vector<InputSpec> inputs, std::size_t symbols, std::vector<Phase> phases,
           std::vector<OutputSpec> outputs, std::size_t globals, const Kernels& kernels,
           std::shared_ptr<ThreadPool> pool, std::int64_t tile_rows);
  ~Executor();

  struct Workspace;
  struct Result {
    // Declared first, so that it is given back after the outputs have let go of its memory.
    std::shared_ptr<Workspace> workspace;
    std::vector<Tensor> outputs;
  };

  // offsets: B + 1 row numbers for B requests, or empty for one request that owns all rows.
  Result run(std::span<const Tensor> inputs, std::span<const std::int64_t> offsets) const;

  const std::vector<InputSpec>& inputs() const { return inputs_; }
  std::size_t output_count() const { return outputs_.size(); }

 private:
  struct Call;

  std::shared_ptr<Workspace> borrow() const;
  bool value_is_request(std::int32_t global) const;
  void run_request(Call& call, std::int64_t request, std::int64_t begin, std::int64_t end) const;
  void run_phase(Call& call, std::size_t index, std::int64_t rows) const;
  std::vector<std::int64_t> bind_symbols(std::span<const Tensor> inputs, std::int64_t& requests,
                                         std::int64_t& rows) const;

  std::vector<InputSpec> inputs_;
  std::size_t symbols_;
  std::vector<Phase> phases_;
  std::vector<OutputSpec> outputs_;
  std::size_t globals_;
  const Kernels& kernels_;
  std::shared_ptr<ThreadPool> pool_;
  std::int64_t tile_rows_;

  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Workspace>> idle_;
};

// Converts an input to the model's element type, refusing every change of value but the rounding of
// float64 to narrower floats. The row of an OpError counts along `row_axis`.
Tensor convert_input(Context& context, const Tensor& tensor, DType to, int row_axis);

}  // namespace pyrec
