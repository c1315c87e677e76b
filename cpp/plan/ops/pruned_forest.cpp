// Forests some of whose features are known before the others.

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "plan/ops/forests.h"
#include "plan/ops/scores.h"
#include "plan/tensor_tools.h"
#include "trees/forest_division.h"
#include "trees/forest_votes.h"
#include "trees/places.h"

namespace pyrec {

namespace {

constexpr auto kRows = static_cast<std::int64_t>(kForestRows);

[[noreturn]] void fail(const std::string& rule) { throw OpError(ErrorKind::kModel, rule); }

// Where numbers lie among thresholds.
class Places {
 public:
  explicit Places(const OpSpec& spec)
      : columns_(elements_of<std::int32_t>(spec.attributes, "columns")) {
    const auto strict = elements_of<std::uint8_t>(spec.attributes, "strict", DType::kBool);
    const auto start = elements_of<std::int32_t>(spec.attributes, "start");
    const auto thresholds = elements_of<double>(spec.attributes, "thresholds");
    const std::size_t scales = columns_.size();
    bool fits = strict.size() == scales && start.size() == scales + 1 && start.front() == 0 &&
                static_cast<std::size_t>(start.back()) == thresholds.size() &&
                std::is_sorted(start.begin(), start.end());
    std::int32_t most = 0;
    for (std::size_t i = 0; fits && i < scales; ++i) {
      width_ = std::max(width_, columns_[i] + std::int64_t{1});
      most = std::max(most, start[i + 1] - start[i] + 1);
      fits = columns_[i] >= 0 && most <= kMostPlace;
      if (!fits) break;
      const double* first = thresholds.data() + start[i];
      const std::span own(first, static_cast<std::size_t>(start[i + 1] - start[i]));
      const auto falls = [](double a, double b) { return !(a < b); };
      if (std::ranges::adjacent_find(own, falls) != own.end()) fail("the thresholds do not rise");
      scales_.emplace_back(own, strict[i] != 0);
    }
    if (!fits) fail("the thresholds do not fit together");
    dtype_ = most < 256 ? DType::kUint8 : DType::kUint16;
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& x = required(in, 0);
    const bool wide = x.dtype == DType::kFloat64;
    const Tensor matrix = feature_matrix(context, x, wide ? DType::kFloat64 : DType::kFloat32);
    if (matrix.shape[1] < width_) throw OpError(ErrorKind::kShape, "there are too few features");
    const Shape shape{matrix.shape[0], static_cast<std::int64_t>(columns_.size())};
    out[0].tensor = allocate(context, dtype_, shape);
    const bool bytes = dtype_ == DType::kUint8;
    if (wide && bytes) place<double, std::uint8_t>(context.kernels, matrix, out[0].tensor);
    if (wide && !bytes) place<double, std::uint16_t>(context.kernels, matrix, out[0].tensor);
    if (!wide && bytes) place<float, std::uint8_t>(context.kernels, matrix, out[0].tensor);
    if (!wide && !bytes) place<float, std::uint16_t>(context.kernels, matrix, out[0].tensor);
  }

 private:
  static constexpr std::int32_t kMostPlace = 65535;

  template <class T, class To>
  void place(const Kernels& kernels, const Tensor& matrix, const Tensor& made) const {
    const std::int64_t count = matrix.shape[0], width = matrix.shape[1];
    const auto scales = static_cast<std::int64_t>(columns_.size());
    std::array<std::uint16_t, kForestRows> places;
    for (std::int64_t begin = 0; begin < count; begin += kRows) {
      const std::int64_t rows = std::min(kRows, count - begin);
      const auto given = static_cast<std::size_t>(rows);
      for (std::size_t i = 0; i < columns_.size(); ++i) {
        const T* x = matrix.as<T>() + begin * width + columns_[i];
        const auto missing = static_cast<std::uint16_t>(scales_[i].size() + 1);
        scales_[i].find(kernels, x, static_cast<std::size_t>(width), given, missing, places.data());
        To* to = made.as<To>() + begin * scales + static_cast<std::int64_t>(i);
        for (std::size_t r = 0; r < given; ++r, to += scales) *to = static_cast<To>(places[r]);
      }
    }
  }

  std::vector<std::int32_t> columns_;
  std::vector<Scale> scales_;
  std::int64_t width_ = 0;
  DType dtype_ = DType::kUint8;
};

ForestDivision division_of(const Attributes& attributes) {
  ForestDivision::Parts parts;
  parts.tree_start = elements_of<std::int32_t>(attributes, "tree_start");
  parts.entry_columns = elements_of<std::int32_t>(attributes, "entry_columns");
  parts.entry_next = elements_of<std::int32_t>(attributes, "entry_next");
  parts.entry_limits = elements_of<std::int8_t>(attributes, "entry_limits");
  parts.column_scales = elements_of<std::int32_t>(attributes, "column_scales");
  parts.column_first = elements_of<std::int32_t>(attributes, "column_first");
  parts.column_missing = elements_of<std::int32_t>(attributes, "column_missing");
  parts.missing_first = elements_of<std::uint8_t>(attributes, "missing_first", DType::kBool);
  parts.reversed_ranks = elements_of<std::uint8_t>(attributes, "reversed_ranks", DType::kBool);
  parts.early_columns = attributes.integer("early_columns", -1);
  parts.early_scales = attributes.integer("early_scales", -1);
  parts.late_scales = attributes.integer("late_scales", -1);
  parts.state_words = attributes.integer("state_words", -1);
  try {
    return ForestDivision(parts);
  } catch (const std::invalid_argument& error) {
    fail(error.what());
  }
}

// Brings places of some rows [rows, scales] into columns [scales, step], from column `first` on.
void turn_places(const Tensor& places, std::int64_t begin, std::int64_t rows, std::int64_t first,
                 std::int64_t step, std::uint16_t* to) {
  if (places.rank() != 2) fail("expected places of rows");
  const auto turn = [&](auto* from) {
    from += begin * places.strides[0];
    for (std::int64_t scale = 0; scale < places.shape[1]; ++scale) {
      const auto* at = from + scale * places.strides[1];
      for (std::int64_t r = 0; r < rows; ++r, at += places.strides[0]) {
        to[(first + scale) * step + r] = *at;
      }
    }
  };
  if (places.dtype == DType::kUint8) return turn(places.as<std::uint8_t>());
  if (places.dtype == DType::kUint16) return turn(places.as<std::uint16_t>());
  fail("expected places as numbers of 8 or 16 bits");
}

class PruneForest {
 public:
  explicit PruneForest(const OpSpec& spec) : division_(division_of(spec.attributes)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& places = required(in, 0);
    const std::int64_t rows = places.shape[0], scales = division_.scales(false);
    if (places.rank() != 2 || places.shape[1] != scales) fail("places do not fit the forest");
    const std::int64_t words = division_.state_words();
    out[0].tensor = allocate(context, DType::kUint16, Shape{rows, 1, words});
    std::vector<std::uint16_t> own(static_cast<std::size_t>(scales));
    std::vector<std::int8_t> ranks(division_.columns(false));
    auto* to = out[0].tensor.as<std::uint16_t>();
    std::fill_n(to, rows * words, std::uint16_t{0});
    for (std::int64_t r = 0; r < rows; ++r, to += words) {
      turn_places(places, r, 1, 0, 1, own.data());
      division_.rank(context.kernels, false, own.data(), 1, 1, ranks.data());
      division_.prune(ranks.data(), to);
    }
  }

 private:
  ForestDivision division_;
};

// Votes of rows that share a pruned forest, or have one each.
class PrunedEnsemble {
 public:
  explicit PrunedEnsemble(const OpSpec& spec)
      : division_(division_of(spec.attributes)),
        votes_(forest_of(spec.attributes)),
        wide_(spec.attributes.text("compares", "") == "float64"),
        narrow_scores_(spec.attributes.text("dtype", "") != "float64") {
    const std::size_t nodes = votes_.forest().comparisons.size();
    for (std::size_t tree = 0; tree < division_.trees(); ++tree) {
      const std::span<const std::int32_t> leaves = division_.leaves(tree);
      for (const std::int32_t node : leaves) {
        if (static_cast<std::size_t>(node) >= nodes) fail("a leaf is no node of the forest");
      }
      votes_.add_tree(leaves);
    }
    if (division_.trees() != votes_.forest().roots.size()) fail("there are other trees");
  }

  const Forest& forest() const { return votes_.forest(); }

  DType score_type(std::span<const Value* const>) const {
    return narrow_scores_ ? DType::kFloat32 : DType::kFloat64;
  }

  std::int64_t rows(std::span<const Value* const> in) const {
    return std::max(required(in, 0).shape[0], required(in, 1).shape[0]);
  }

  // Calls finish(row, scores, voted) for each row with its aggregated votes, in float32 or float64.
  template <class F>
  void run(Context& context, std::span<const Value* const> in, F finish) const {
    wide_ ? score<double>(context, in, finish) : score<float>(context, in, finish);
  }

 private:
  template <class T, class F>
  void score(Context& context, std::span<const Value* const> in, F finish) const {
    const Tensor& state = required(in, 0);
    if (state.rank() != 3 || state.dtype != DType::kUint16 || state.strides[2] != 1 ||
        state.shape[2] != division_.state_words()) {
      fail("the pruned forest is not this one");
    }
    const std::int64_t count = rows(in);
    std::int64_t scales = 0;
    for (std::size_t i = 1; i < in.size(); ++i) {
      const Tensor& places = required(in, i);
      if (places.rank() != 2 || (places.shape[0] != count)) fail("places do not fit the rows");
      scales += places.shape[1];
    }
    const bool shared = state.shape[0] == 1 || state.strides[0] == 0;
    if (scales != division_.scales(true) || (!shared && state.shape[0] != count)) {
      fail("places do not fit the forest");
    }
    const VoteRoom<T> room(context, forest().targets);
    const Tensor turned = allocate(context, DType::kUint16, Shape{scales, kRows});
    const auto columns = static_cast<std::int64_t>(division_.columns(true));
    const Tensor ranks = allocate(context, DType::kInt8, Shape{columns, kRows});
    // Of rows that are not there.
    std::fill_n(ranks.as<std::int8_t>(), columns * kRows, std::int8_t{0});
    ForestVotes::Block<T> block = room.block();
    for (std::int64_t begin = 0; begin < count; begin += block.rows) {
      block.rows = shared ? std::min(kRows, count - begin) : 1;
      std::int64_t first = 0;
      for (std::size_t i = 1; i < in.size(); ++i) {
        const Tensor& places = required(in, i);
        turn_places(places, begin, block.rows, first, kRows, turned.as<std::uint16_t>());
        first += places.shape[1];
      }
      division_.rank(context.kernels, true, turned.as<std::uint16_t>(), kForestRows,
                     static_cast<std::size_t>(block.rows), ranks.as<std::int8_t>());
      const auto* words = state.as<std::uint16_t>() + (shared ? 0 : begin * state.strides[0]);
      votes_.begin(block);
      for (std::size_t tree = 0; tree < votes_.trees(); ++tree) {
        const ForestDivision::Pruned pruned = ForestDivision::next(words);
        add(context, tree, pruned, ranks.as<std::int8_t>(), block);
      }
      room.end(votes_, block, begin, finish);
    }
  }

  template <class T>
  void add(Context& context, std::size_t tree, const ForestDivision::Pruned& pruned,
           const std::int8_t* ranks, const ForestVotes::Block<T>& block) const {
    const auto rows = static_cast<std::size_t>(block.rows);
    const std::span<const std::int32_t> targets = votes_.targets(tree);
    if (!targets.empty() && pruned.leaves.size() == 1) {
      for (std::size_t i = 0; i < targets.size(); ++i) {
        T* scores = block.scores + targets[i] * kRows;
        const T weight = votes_.weights<T>(tree, i)[pruned.leaves[0]];
        for (std::size_t r = 0; r < rows; ++r) scores[r] += weight;
      }
      return;
    }
    std::array<std::uint8_t, kForestRows> found{};
    if (pruned.planes > 0) {
      context.kernels.find_leaves_u8(pruned.tests, pruned.counts, pruned.planes, ranks, rows,
                                     found.data());
    }
    for (std::size_t i = 0; i < targets.size(); ++i) {
      std::array<T, kForestLeaves> weights;
      const T* all = votes_.weights<T>(tree, i);
      for (std::size_t j = 0; j < pruned.leaves.size(); ++j) weights[j] = all[pruned.leaves[j]];
      votes_.add(context.kernels, weights.data(), pruned.leaves.size(), found.data(), targets[i],
                 block);
    }
    if (!targets.empty()) return;
    const std::span<const std::int32_t> nodes = division_.leaves(tree);
    for (std::size_t r = 0; r < rows; ++r) {
      votes_.vote(nodes[pruned.leaves[found[r]]], block, static_cast<std::int64_t>(r));
    }
  }

  ForestDivision division_;
  ForestVotes votes_;
  bool wide_, narrow_scores_;
};

}  // namespace

std::unique_ptr<Op> make_places(const OpSpec& spec) { return make_op<Places>(spec); }
std::unique_ptr<Op> make_prune_forest(const OpSpec& spec) { return make_op<PruneForest>(spec); }
std::unique_ptr<Op> make_pruned_forest(const OpSpec& spec) {
  return make_op<ForestScores<PrunedEnsemble>>(spec);
}
std::unique_ptr<Op> make_pruned_classifier(const OpSpec& spec) {
  return make_op<ForestClassifier<PrunedEnsemble>>(spec);
}

}  // namespace pyrec
