#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/thread_pool.h"
#include "plan/program.h"
#include "selection/request_best.h"

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
  // Of tiles: whether one thread alone takes all rows at once, as nothing is read twice and the
  // results need not be copied out of a tile then.
  bool at_once = false;
};

struct OutputSpec {
  std::int32_t global;
  int row_axis;  // -1: not by row
};

class Executor;

// What a call that wants the best candidates alone asks for.
struct Selection {
  std::size_t k = 0;
  bool shared = false;  // all candidates are those of each request
  // A number for each row of the call, or where candidates are shared for each row and request
  // if `by_request`.
  Adjustment adjustment;
  bool by_request = false;
  std::size_t numbers = 0;  // of each array of the adjustment
};

// Inputs that no caller gives: a plan of its own makes them once for each call, from all rows of
// one side, before the rows of several requests are told apart.
struct Derivation {
  std::shared_ptr<const Executor> executor;
  bool request = false;              // the side whose rows it reads
  std::vector<std::size_t> sources;  // for each input of its plan, the input that it is
  std::vector<std::size_t> results;  // for each output of its plan, the input that it makes
};

// Runs a plan: the request's phase once for each request, then the candidates' phases over tiles of
// rows or, where rows are coupled, over all rows at once. Globals are the inputs, in order,
// followed by every exported value. Immutable; any number of threads may call run.
//
// An alternative has the same inputs and outputs. It serves the requests for which an operator
// throws OpError(kAlternative).
class Executor {
 public:
  Executor(std::vector<InputSpec> inputs, std::size_t symbols, std::vector<Phase> phases,
           std::vector<OutputSpec> outputs, std::size_t globals, const Kernels& kernels,
           std::shared_ptr<ThreadPool> pool, std::int64_t tile_rows, std::size_t max_bytes,
           std::shared_ptr<const Executor> alternative);
  ~Executor();

  // Lets another executor of the same inputs and outputs run the requests with fewer than `rows`
  // rows. To be called before the first run.
  void use_for_few_rows(std::shared_ptr<const Executor> other, std::int64_t rows);

  // Lets other plans make the last inputs. To be called before the first run.
  void derive_inputs(std::vector<Derivation> derivations);

  struct Workspace;

  // One call. Its outputs may share the inputs' memory and are valid until it ends.
  class Session {
   public:
    explicit Session(const Executor& executor);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    // To be set for each input before the run, without an owner.
    Tensor& input(std::size_t index);
    // Rows of a table that are written with the results, to be brought into the cache meanwhile.
    void announce(const Upcoming& rows);
    // offsets: B + 1 row numbers for B requests, or empty for one request that owns all rows.
    std::span<const Tensor> run(std::span<const std::int64_t> offsets);
    // The same for no more rows than a tile has, on this thread alone. Each output comes with a
    // tensor in which it had better lie, or with an empty one; it need not lie there.
    std::span<const Tensor> run_tile(std::span<const Tensor> offers);
    // Gives the best candidates of each request instead of the only output, which holds one score
    // for each; a tile's scores are compared while they are in cache, and not kept.
    void run_best(std::span<const std::int64_t> offsets, const Selection& selection,
                  std::vector<std::vector<Winner>>& winners);
    // A contiguous form of a tensor, valid as long.
    Tensor contiguous(const Tensor& tensor);
    // Throws OpError(kMemory) where the call may not hold so many bytes more.
    void require_room(std::size_t bytes);

   private:
    friend class Executor;

    const Executor& executor_;
    std::unique_ptr<Workspace> workspace_;
  };

  const std::vector<InputSpec>& inputs() const { return inputs_; }
  // How many of the inputs, the first ones, a caller gives.
  std::size_t given_count() const { return given_; }
  std::size_t output_count() const { return outputs_.size(); }
  // Rows that run at once; more are cut into tiles.
  std::int64_t tile_rows() const { return tile_rows_; }
  const std::shared_ptr<ThreadPool>& pool() const { return pool_; }
  // Tells that a call with so many rows begins: threads that will share them wake up meanwhile.
  void expect(std::int64_t rows) const {
    if (shares(rows)) pool_->expect();
  }

 private:
  struct Call;
  struct Requests;
  struct Tile;

  std::unique_ptr<Workspace> borrow() const;
  void give_back(std::unique_ptr<Workspace> workspace) const;
  Requests bind(Workspace& workspace, std::span<const std::int64_t> offsets, bool shared) const;
  void run(Workspace& workspace, std::span<const std::int64_t> offsets) const;
  void run_best(Workspace& workspace, std::span<const std::int64_t> offsets,
                const Selection& selection, std::vector<std::vector<Winner>>& winners) const;
  template <class F>
  void for_each_request(Workspace& workspace, const Requests& requests, F&& use) const;
  void take_request(Call& call, const Requests& requests, std::int64_t request) const;
  void give_outputs(Call& call, std::int64_t rows) const;
  void run_request(Call& call) const;
  void run_phases(Call& call) const;
  void run_other(Call& call, const Executor& other) const;
  void run_phase(Call& call, std::size_t index) const;
  void run_tile(Call& call, std::size_t index, const Tile& tile, std::size_t worker_number) const;
  bool offer(const Call& call, const Phase& phase, std::vector<Value>& exports) const;
  void finish_export(Call& call, const Phase& phase, std::size_t number, Value& made,
                     std::int64_t begin, std::int64_t count, Context& context) const;
  void give_scores(Call& call, const Tensor& scores, std::int64_t begin, std::int64_t count,
                   std::size_t worker, Context& context) const;
  void give_whole_scores(Call& call) const;
  bool shares(std::int64_t rows) const;
  std::int64_t least_tile() const;
  std::vector<std::int64_t> shared_tiles(std::int64_t rows, std::int64_t threads) const;
  bool value_is_request(std::int32_t global) const;
  void bind_symbols(Workspace& workspace, std::size_t inputs, std::int64_t& requests,
                    std::int64_t& rows) const;
  void derive(Workspace& workspace, std::span<const std::int64_t> offsets, bool shared) const;

  std::vector<InputSpec> inputs_;
  std::size_t symbols_;
  std::vector<Phase> phases_;
  std::vector<OutputSpec> outputs_;
  std::size_t globals_;
  const Kernels& kernels_;
  std::shared_ptr<ThreadPool> pool_;
  std::int64_t tile_rows_;
  std::size_t max_bytes_;  // of the memory that one call works in
  std::shared_ptr<const Executor> alternative_;
  std::shared_ptr<const Executor> few_;  // null: none
  std::int64_t few_rows_ = 0;
  std::vector<Derivation> derivations_;
  std::size_t given_;
  bool selects_in_tiles_ = false;  // the only output comes out of tiles, and nothing else reads it

  // Workspaces that no call uses. No lock, which a fork could leave taken for ever in the child.
  mutable std::array<std::atomic<Workspace*>, 16> idle_{};
};

}  // namespace pyrec
