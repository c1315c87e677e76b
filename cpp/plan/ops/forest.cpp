#include "trees/forest.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/forests.h"
#include "plan/ops/scores.h"
#include "plan/tensor_tools.h"
#include "trees/forest_votes.h"
#include "trees/leaf_search.h"
#include "trees/ranked_forest.h"
#include "trees/walker.h"

namespace pyrec {

namespace {

using Indices = std::vector<std::int32_t>;
using Reals = std::vector<double>;

[[noreturn]] void fail(const std::string& rule) { throw OpError(ErrorKind::kModel, rule); }

Aggregate aggregate_named(const std::string& name) {
  constexpr const char* kNames[] = {"AVERAGE", "SUM", "MIN", "MAX"};
  for (int i = 0; i < 4; ++i) {
    if (name == kNames[i]) return static_cast<Aggregate>(i);
  }
  fail("unknown aggregate_function");
}

Reals reals(const Attributes& attributes, const std::string& key) {
  const Tensor* tensor = attributes.tensor(key);
  if (tensor && tensor->dtype == DType::kFloat64) return elements_of<double>(attributes, key);
  const std::vector<float> narrow = elements_of<float>(attributes, key);
  return {narrow.begin(), narrow.end()};
}

void require(bool fits) {
  if (!fits) fail("the forest does not fit together");
}

bool all_within(const Indices& values, std::size_t limit) {
  return std::all_of(values.begin(), values.end(), [&](std::int32_t value) {
    return value >= 0 && static_cast<std::size_t>(value) < limit;
  });
}

}  // namespace

Forest forest_of(const Attributes& attributes) {
  Forest forest;
  for (std::uint8_t how : elements_of<std::uint8_t>(attributes, "comparisons")) {
    require(how <= static_cast<std::uint8_t>(Comparison::kLeaf));
    forest.comparisons.push_back(static_cast<Comparison>(how));
  }
  forest.missing_yes = elements_of<std::uint8_t>(attributes, "missing_yes", DType::kBool);
  forest.thresholds = reals(attributes, "thresholds");
  forest.wide = attributes.tensor("thresholds")->dtype == DType::kFloat64;
  forest.features = elements_of<std::int32_t>(attributes, "features");
  forest.yes = elements_of<std::int32_t>(attributes, "yes");
  forest.no = elements_of<std::int32_t>(attributes, "no");
  forest.roots = elements_of<std::int32_t>(attributes, "roots");
  forest.vote_start = elements_of<std::int32_t>(attributes, "vote_start");
  forest.vote_target = elements_of<std::int32_t>(attributes, "vote_targets");
  forest.vote_weight = reals(attributes, "vote_weights");
  forest.base = reals(attributes, "base");
  forest.targets = attributes.integer("targets", 1);
  forest.aggregate = aggregate_named(attributes.text("aggregate", "SUM"));
  const std::size_t count = forest.comparisons.size();
  const std::size_t votes = forest.vote_target.size();
  require(forest.missing_yes.size() == count && forest.thresholds.size() == count &&
          forest.features.size() == count && forest.yes.size() == count &&
          forest.no.size() == count && forest.vote_start.size() == count + 1 &&
          forest.vote_weight.size() == votes && forest.targets >= 1 &&
          forest.base.size() <= static_cast<std::size_t>(forest.targets));
  require(all_within(forest.yes, count) && all_within(forest.no, count) &&
          all_within(forest.roots, count) && all_within(forest.vote_start, votes + 1) &&
          all_within(forest.vote_target, static_cast<std::size_t>(forest.targets)) &&
          std::is_sorted(forest.vote_start.begin(), forest.vote_start.end()));
  for (std::size_t i = 0; i < count; ++i) {
    require(forest.features[i] >= 0 && forest.comparisons[i] != Comparison::kMember &&
            !std::isnan(forest.thresholds[i]));
    if (forest.is_leaf(i)) continue;
    forest.width = std::max<std::int64_t>(forest.width, forest.features[i] + std::int64_t{1});
  }
  return forest;
}

namespace {

// Votes of rows of features.
class FeatureEnsemble {
 public:
  explicit FeatureEnsemble(const OpSpec& spec) : FeatureEnsemble(forest_of(spec.attributes)) {
    narrow_scores_ = spec.attributes.text("dtype", "") == "float32";
  }

  const Forest& forest() const { return votes_.forest(); }

  DType score_type(std::span<const Value* const> in) const {
    return narrow_scores_ ? DType::kFloat32 : required(in, 0).dtype;
  }

  std::int64_t rows(std::span<const Value* const> in) const {
    const Tensor& x = required(in, 0);
    return x.rank() == 2 ? x.shape[0] : 1;
  }

  // Calls finish(row, scores, voted) for each row with its aggregated votes, in float32 or float64.
  template <class F>
  void run(Context& context, std::span<const Value* const> in, F finish) const {
    const Tensor& x = required(in, 0);
    if (forest().wide || x.dtype == DType::kFloat64) {
      score(context, feature_matrix(context, x, DType::kFloat64), wide_, finish);
    } else {
      score(context, feature_matrix(context, x, DType::kFloat32), narrow_, finish);
    }
  }

 private:
  static constexpr std::int64_t kRows = ForestVotes::kRows;
  static_assert(kRows == RankedForest::kBlock);
  using Ends = std::array<std::int32_t, kForestRows>;

  // What goes through the trees together: the rows, room for their ranks, and their votes.
  template <class T>
  struct Block : ForestVotes::Block<T> {
    const T* x;
    std::int64_t width;
    std::int8_t* bytes;
    std::uint16_t* halves;
  };

  explicit FeatureEnsemble(const Forest& forest)
      : votes_(forest), search_(forest), ranked_(RankedForest::make(forest)) {
    for (std::size_t tree = 0; tree < forest.roots.size(); ++tree) {
      votes_.add_tree(search_.leaves(tree));
      searches_all_ = searches_all_ && search_.takes(tree);
    }
    if (ranked_) few_rows_ = few_rows();
    for (std::size_t i = 0; few_rows_ > 0 && i < ranked_->slots(); ++i) {
      const double weight = votes_.first_vote(ranked_->node(static_cast<std::uint32_t>(i)));
      slot_weights_.push_back(weight);
      narrow_slot_weights_.push_back(static_cast<float>(weight));
    }
    if (ranked_ || searches_all_) return;
    wide_.emplace(forest);
    // A forest of float64 is never walked in float32.
    if (!forest.wide) narrow_.emplace(forest);
  }

  // How many rows are sooner walked down all trees than their leaves are searched: a search takes
  // its tests for any number of rows.
  std::int64_t few_rows() const {
    std::size_t searched = 0, walked = 0;
    for (std::size_t tree = 0; tree < votes_.trees(); ++tree) {
      if (!search_.takes(tree)) continue;
      searched += kSearch + search_.tests(tree);
      walked += kWalk + search_.steps(tree);
    }
    if (searched == 0) return RankedForest::kGroup - 1;
    return std::min(kRows, static_cast<std::int64_t>(searched / walked));
  }

  template <class T, class F>
  void score(Context& context, const Tensor& matrix, const std::optional<Walker<T>>& walker,
             F finish) const {
    const std::int64_t count = matrix.shape[0], width = matrix.shape[1];
    if (width < forest().width) {
      throw OpError(ErrorKind::kShape, "expected at least " + std::to_string(forest().width) +
                                           " features, got " + std::to_string(width));
    }
    const VoteRoom<T> room(context, forest().targets);
    const auto searched = static_cast<std::int64_t>(search_.rank_bytes());
    const Tensor bytes = allocate(context, DType::kInt8, Shape{searched});
    const std::int64_t columns = ranked_ ? ranked_->columns() : 0;
    const Tensor halves = allocate(context, DType::kUint16, Shape{columns, kRows});
    Block<T> block{room.block(), nullptr, width, bytes.as<std::int8_t>(),
                   halves.as<std::uint16_t>()};
    // Of rows that are not there.
    if (count > few_rows_) {
      std::fill_n(block.bytes, searched, std::int8_t{0});
      std::fill_n(block.halves, columns * kRows, std::uint16_t{0});
    }
    for (std::int64_t begin = 0; begin < count; begin += kRows) {
      block.x = matrix.as<T>() + begin * width;
      block.rows = std::min(kRows, count - begin);
      votes_.begin(block);
      if (block.rows <= few_rows_) {
        walk(context, block);
      } else {
        search(context, block, walker);
      }
      room.end(votes_, block, begin, finish);
    }
  }

  // A few rows down all trees, some trees at a time.
  template <class T>
  void walk(Context& context, const Block<T>& block) const {
    constexpr std::size_t kGroup = RankedForest::kGroup;
    ranked_->rank_rows(context.kernels, block.x, block.width, block.rows, block.halves);
    const T* weights = nullptr;
    if constexpr (std::is_same_v<T, float>) {
      weights = narrow_slot_weights_.data();
    } else {
      weights = slot_weights_.data();
    }
    for (std::size_t tree = 0; tree < votes_.trees(); tree += kGroup) {
      const std::size_t end = std::min(tree + kGroup, votes_.trees());
      for (std::int64_t r = 0; r < block.rows; ++r) {
        std::uint32_t ends[kGroup];
        ranked_->walk_trees(tree, block.halves + r * ranked_->columns(), ends);
        for (std::size_t own = tree; own < end; ++own) {
          const std::uint32_t slot = ends[own - tree];
          if (const auto targets = votes_.targets(own); targets.size() == 1) {
            block.scores[targets[0] * kRows + r] += weights[slot];
          } else {
            votes_.vote(ranked_->node(slot), block, r);
          }
        }
      }
    }
  }

  template <class T>
  void search(Context& context, const Block<T>& block,
              const std::optional<Walker<T>>& walker) const {
    search_.rank(context.kernels, block.x, block.rows, block.width, block.bytes);
    if (ranked_ && !searches_all_) {
      ranked_->rank_columns(context.kernels, block.x, block.width, block.rows, block.halves);
    }
    for (std::size_t tree = 0; tree < votes_.trees(); ++tree) {
      if (!votes_.targets(tree).empty()) {
        add_votes(context, tree, block);
        continue;
      }
      Ends ends;
      if (search_.takes(tree)) {
        find_ends(context, tree, block, ends);
      } else if (ranked_) {
        for (std::int64_t r = 0; r < block.rows; r += RankedForest::kGroup) {
          ranked_->walk_rows(tree, block.halves + r, ends.data() + r);
        }
      } else {
        walker->run(tree, block.x, block.rows, block.width, ends.data());
      }
      for (std::int64_t r = 0; r < block.rows; ++r) {
        votes_.vote(ends[static_cast<std::size_t>(r)], block, r);
      }
    }
  }

  template <class T>
  void add_votes(Context& context, std::size_t tree, const Block<T>& block) const {
    std::array<std::uint8_t, kForestRows> leaves;
    const auto rows = static_cast<std::size_t>(block.rows);
    search_.find(context.kernels, tree, block.bytes, rows, leaves.data());
    const std::span<const std::int32_t> targets = votes_.targets(tree);
    for (std::size_t i = 0; i < targets.size(); ++i) {
      votes_.add(context.kernels, votes_.weights<T>(tree, i), search_.leaves(tree).size(),
                 leaves.data(), targets[i], block);
    }
  }

  template <class T>
  void find_ends(Context& context, std::size_t tree, const Block<T>& block, Ends& ends) const {
    std::array<std::uint8_t, kForestRows> leaves;
    const auto rows = static_cast<std::size_t>(block.rows);
    search_.find(context.kernels, tree, block.bytes, rows, leaves.data());
    for (std::size_t r = 0; r < rows; ++r) {
      ends[r] = search_.leaves(tree)[leaves[r]];
    }
  }

  // What a tree takes beside its tests, and a walk beside its branches.
  static constexpr std::size_t kSearch = 16, kWalk = 3;

  ForestVotes votes_;
  LeafSearch search_;
  std::optional<RankedForest> ranked_;
  std::int64_t few_rows_ = 0;
  bool searches_all_ = true, narrow_scores_ = false;
  // Of each slot.
  Reals slot_weights_;
  std::vector<float> narrow_slot_weights_;
  // For trees that are not searched, where there are no ranks.
  std::optional<Walker<float>> narrow_;
  std::optional<Walker<double>> wide_;
};

constexpr OpEntry kOps[] = {
    {"pyrec.Forest", make_op<ForestScores<FeatureEnsemble>>},
    {"pyrec.ForestClassifier", make_op<ForestClassifier<FeatureEnsemble>>},
    {"pyrec.Places", make_places},
    {"pyrec.PruneForest", make_prune_forest},
    {"pyrec.PrunedForest", make_pruned_forest},
    {"pyrec.PrunedForestClassifier", make_pruned_classifier},
};

}  // namespace

std::span<const OpEntry> forest_ops() { return kOps; }

}  // namespace pyrec
