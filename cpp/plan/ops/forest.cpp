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
#include "plan/ops/scores.h"
#include "plan/tensor_tools.h"
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

class Ensemble {
 public:
  explicit Ensemble(const Attributes& attributes)
      : forest_(forest_of(attributes)),
        transform_(transform_of(attributes.text("transform", "NONE"))),
        search_(forest_),
        ranked_(RankedForest::make(forest_)) {
    for (std::size_t tree = 0; tree < forest_.roots.size(); ++tree) {
      targets_.push_back(target_of(tree));
      searches_all_ = searches_all_ && search_.takes(tree);
    }
    for (std::int32_t target = 0; target < forest_.targets; ++target) {
      if (std::find(targets_.begin(), targets_.end(), target) == targets_.end()) continue;
      certain_.push_back(target);
    }
    for (std::size_t place = 0; place < search_.leaf_count(); ++place) {
      add_weight(search_.leaf(place), weights_, narrow_weights_);
    }
    if (ranked_) few_rows_ = few_rows();
    for (std::size_t i = 0; few_rows_ > 0 && i < ranked_->slots(); ++i) {
      add_weight(ranked_->node(static_cast<std::uint32_t>(i)), slot_weights_, narrow_slot_weights_);
    }
    if (ranked_ || searches_all_) return;
    wide_.emplace(forest_);
    // A forest of float64 is never walked in float32.
    if (!forest_.wide) narrow_.emplace(forest_);
  }

  const Forest& forest() const { return forest_; }
  Transform transform() const { return transform_; }

  // Calls finish(row, scores, voted) for each row with its aggregated votes, in float32 or float64.
  template <class F>
  void run(Context& context, const Tensor& x, F finish) const {
    if (forest_.wide || x.dtype == DType::kFloat64) {
      score(context, feature_matrix(context, x, DType::kFloat64), wide_, finish);
    } else {
      score(context, feature_matrix(context, x, DType::kFloat32), narrow_, finish);
    }
  }

 private:
  static constexpr auto kRows = static_cast<std::int64_t>(kForestRows);
  static_assert(kRows == RankedForest::kBlock);
  using Ends = std::array<std::int32_t, kForestRows>;

  // What goes through the trees together: the rows, room for their ranks, and their votes, those
  // for a target one after another.
  template <class T>
  struct Block {
    const T* x;
    std::int64_t rows, width;
    std::int8_t* bytes;
    std::uint16_t* halves;
    T* scores;
    std::uint8_t* voted;
  };

  // What each leaf of a tree that is searched adds one vote to, or -1.
  std::int32_t target_of(std::size_t tree) const {
    const bool adds =
        forest_.aggregate == Aggregate::kSum || forest_.aggregate == Aggregate::kAverage;
    if (!adds || !search_.takes(tree)) return -1;
    std::int32_t found = -1;
    for (std::size_t place = search_.first_leaf(tree); place < search_.last_leaf(tree); ++place) {
      const auto node = static_cast<std::size_t>(search_.leaf(place));
      const std::int32_t vote = forest_.vote_start[node];
      if (forest_.vote_start[node + 1] != vote + 1) return -1;
      const std::int32_t target = forest_.vote_target[static_cast<std::size_t>(vote)];
      if (found >= 0 && found != target) return -1;
      found = target;
    }
    return found;
  }

  // A node's first vote, or 0.
  void add_weight(std::int32_t at, Reals& wide, std::vector<float>& narrow) const {
    const auto node = static_cast<std::size_t>(at);
    const auto vote = static_cast<std::size_t>(forest_.vote_start[node]);
    const bool any = forest_.vote_start[node + 1] > forest_.vote_start[node];
    const double weight = any ? forest_.vote_weight[vote] : 0;
    wide.push_back(weight);
    narrow.push_back(static_cast<float>(weight));
  }

  // How many rows are sooner walked down all trees than their leaves are searched: a search takes
  // its tests for any number of rows.
  std::int64_t few_rows() const {
    std::size_t searched = 0, walked = 0;
    for (std::size_t tree = 0; tree < targets_.size(); ++tree) {
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
    if (width < forest_.width) {
      throw OpError(ErrorKind::kShape, "expected at least " + std::to_string(forest_.width) +
                                           " features, got " + std::to_string(width));
    }
    const std::int64_t targets = forest_.targets;
    // Of one row, and of all with the rows side by side.
    const Tensor row_scores = allocate(context, DTypeOf<T>::value, Shape{targets});
    const Tensor row_voted = allocate(context, DType::kUint8, Shape{targets});
    const Tensor all_scores = allocate(context, DTypeOf<T>::value, Shape{targets, kRows});
    const Tensor all_voted = allocate(context, DType::kUint8, Shape{targets, kRows});
    const auto searched = static_cast<std::int64_t>(search_.rank_bytes());
    const Tensor bytes = allocate(context, DType::kInt8, Shape{searched});
    const std::int64_t columns = ranked_ ? ranked_->columns() : 0;
    const Tensor halves = allocate(context, DType::kUint16, Shape{columns, kRows});
    Block<T> block{nullptr,
                   0,
                   width,
                   bytes.as<std::int8_t>(),
                   halves.as<std::uint16_t>(),
                   all_scores.as<T>(),
                   all_voted.as<std::uint8_t>()};
    // Of rows that are not there.
    if (count > few_rows_) {
      std::fill_n(block.bytes, searched, std::int8_t{0});
      std::fill_n(block.halves, columns * kRows, std::uint16_t{0});
    }
    for (std::int64_t begin = 0; begin < count; begin += kRows) {
      block.x = matrix.as<T>() + begin * width;
      block.rows = std::min(kRows, count - begin);
      begin_votes(block);
      if (block.rows <= few_rows_) {
        walk(block);
      } else {
        search(context, block, walker);
      }
      for (std::int64_t r = 0; r < block.rows; ++r) {
        T* row = row_scores.as<T>();
        for (std::int64_t j = 0; j < targets; ++j) {
          row[j] = block.scores[j * kRows + r];
          if (forest_.aggregate == Aggregate::kAverage) row[j] /= static_cast<T>(targets_.size());
          row_voted.as<std::uint8_t>()[j] = block.voted[j * kRows + r];
        }
        finish(begin + r, row, row_voted.as<std::uint8_t>());
      }
    }
  }

  template <class T>
  void begin_votes(const Block<T>& block) const {
    for (std::int64_t target = 0; target < forest_.targets; ++target) {
      std::fill_n(block.scores + target * kRows, block.rows, T(0));
      std::fill_n(block.voted + target * kRows, block.rows, std::uint8_t(0));
    }
    for (const std::int32_t target : certain_) {
      std::fill_n(block.voted + target * kRows, block.rows, std::uint8_t(1));
    }
  }

  // A few rows down all trees, some trees at a time.
  template <class T>
  void walk(const Block<T>& block) const {
    constexpr std::size_t kGroup = RankedForest::kGroup;
    ranked_->rank_rows(block.x, block.width, block.rows, block.halves);
    const T* weights = chosen<T>(slot_weights_, narrow_slot_weights_);
    for (std::size_t tree = 0; tree < targets_.size(); tree += kGroup) {
      const std::size_t end = std::min(tree + kGroup, targets_.size());
      for (std::int64_t r = 0; r < block.rows; ++r) {
        std::uint32_t ends[kGroup];
        ranked_->walk_trees(tree, block.halves + r * ranked_->columns(), ends);
        for (std::size_t own = tree; own < end; ++own) {
          const std::uint32_t slot = ends[own - tree];
          if (const std::int32_t target = targets_[own]; target >= 0) {
            block.scores[target * kRows + r] += weights[slot];
          } else {
            vote(ranked_->node(slot), block.scores + r, block.voted + r);
          }
        }
      }
    }
  }

  template <class T>
  void search(Context& context, const Block<T>& block,
              const std::optional<Walker<T>>& walker) const {
    search_.rank(block.x, block.rows, block.width, block.bytes);
    if (ranked_ && !searches_all_) {
      ranked_->rank_columns(block.x, block.width, block.rows, block.halves);
    }
    for (std::size_t tree = 0; tree < targets_.size(); ++tree) {
      if (const std::int32_t target = targets_[tree]; target >= 0) {
        add_votes(context, tree, block, block.scores + target * kRows);
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
        vote(ends[static_cast<std::size_t>(r)], block.scores + r, block.voted + r);
      }
    }
  }

  template <class T>
  void add_votes(Context& context, std::size_t tree, const Block<T>& block, T* scores) const {
    std::array<std::uint8_t, kForestRows> leaves;
    const auto rows = static_cast<std::size_t>(block.rows);
    search_.find(context.kernels, tree, block.bytes, rows, leaves.data());
    const T* weights = chosen<T>(weights_, narrow_weights_) + search_.first_leaf(tree);
    for (std::size_t r = 0; r < rows; ++r) scores[r] += weights[leaves[r]];
  }

  template <class T>
  static const T* chosen(const Reals& wide, const std::vector<float>& narrow) {
    if constexpr (DTypeOf<T>::value == DType::kFloat32)
      return narrow.data();
    else
      return wide.data();
  }

  template <class T>
  void find_ends(Context& context, std::size_t tree, const Block<T>& block, Ends& ends) const {
    std::array<std::uint8_t, kForestRows> leaves;
    const auto rows = static_cast<std::size_t>(block.rows);
    search_.find(context.kernels, tree, block.bytes, rows, leaves.data());
    for (std::size_t r = 0; r < rows; ++r) {
      ends[r] = search_.leaf(search_.first_leaf(tree) + leaves[r]);
    }
  }

  template <class T>
  void vote(std::int32_t leaf, T* scores, std::uint8_t* voted) const {
    const auto node = static_cast<std::size_t>(leaf);
    for (std::int32_t i = forest_.vote_start[node]; i < forest_.vote_start[node + 1]; ++i) {
      const std::int32_t target = forest_.vote_target[static_cast<std::size_t>(i)];
      const T weight = static_cast<T>(forest_.vote_weight[static_cast<std::size_t>(i)]);
      T& score = scores[target * kRows];
      if (forest_.aggregate == Aggregate::kMin || forest_.aggregate == Aggregate::kMax) {
        const bool better = forest_.aggregate == Aggregate::kMin ? weight < score : weight > score;
        if (!voted[target * kRows] || better) score = weight;
      } else {
        score += weight;
      }
      voted[target * kRows] = 1;
    }
  }

  // What a tree takes beside its tests, and a walk beside its branches.
  static constexpr std::size_t kSearch = 16, kWalk = 3;

  Forest forest_;
  Transform transform_;
  LeafSearch search_;
  std::optional<RankedForest> ranked_;
  std::int64_t few_rows_ = 0;
  bool searches_all_ = true;
  std::vector<std::int32_t> targets_;  // of each tree
  std::vector<std::int32_t> certain_;  // targets that get votes of every row
  // Of each leaf of the trees that are searched, and of each slot.
  Reals weights_, slot_weights_;
  std::vector<float> narrow_weights_, narrow_slot_weights_;
  // For trees that are not searched, where there are no ranks.
  std::optional<Walker<float>> narrow_;
  std::optional<Walker<double>> wide_;
};

std::int64_t rows_of(const Tensor& x) { return x.rank() == 2 ? x.shape[0] : 1; }

// The scores with base values and transform; `To` is what comes out.
template <class To>
void write_scores(Context& context, const Ensemble& ensemble, const Tensor& x, const Tensor& y) {
  const Forest& forest = ensemble.forest();
  ensemble.run(context, x, [&](std::int64_t row, auto* scores, const std::uint8_t*) {
    using T = std::remove_pointer_t<decltype(scores)>;
    for (std::size_t i = 0; i < forest.base.size(); ++i)
      scores[i] += static_cast<T>(forest.base[i]);
    apply_transform(ensemble.transform(), scores, forest.targets);
    To* out = y.as<To>() + row * forest.targets;
    for (std::int64_t i = 0; i < forest.targets; ++i) out[i] = static_cast<To>(scores[i]);
  });
}

class ForestScores {
 public:
  explicit ForestScores(const OpSpec& spec)
      : ensemble_(spec.attributes), narrow_(spec.attributes.text("dtype", "") == "float32") {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& x = required(in, 0);
    const Shape shape{rows_of(x), ensemble_.forest().targets};
    if (x.dtype == DType::kFloat64 && !narrow_) {
      out[0].tensor = allocate(context, DType::kFloat64, shape);
      write_scores<double>(context, ensemble_, x, out[0].tensor);
    } else {
      const Tensor y = allocate(context, DType::kFloat32, shape);
      write_scores<float>(context, ensemble_, x, y);
      out[0].tensor = narrow_ ? y : cast(context, y, x.dtype);
    }
  }

 private:
  Ensemble ensemble_;
  bool narrow_;
};

class ForestClassifier {
 public:
  explicit ForestClassifier(const OpSpec& spec)
      : labels_(elements_of<std::int64_t>(spec.attributes, "labels")), ensemble_(spec.attributes) {
    const Forest& forest = ensemble_.forest();
    require(labels_.size() == static_cast<std::size_t>(std::max<std::int64_t>(forest.targets, 2)));
    for (std::int32_t target : forest.vote_target) {
      one_class_ = one_class_ && target == forest.vote_target[0];
    }
    second_ = one_class_ && !forest.vote_target.empty() && forest.vote_target[0] == 1;
    for (double weight : forest.vote_weight) positive_ = positive_ && weight >= 0;
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& x = required(in, 0);
    const std::int64_t targets = ensemble_.forest().targets;
    const Tensor labels = allocate(context, DType::kInt64, Shape{rows_of(x)});
    const Tensor scores = allocate(context, DType::kFloat32, Shape{rows_of(x), targets});
    ensemble_.run(context, x, [&](std::int64_t row, auto* votes, const std::uint8_t* voted) {
      const std::int64_t position =
          targets <= 2 && one_class_ ? decide(votes, targets) : best(votes, voted, targets);
      labels.as<std::int64_t>()[row] = labels_[static_cast<std::size_t>(position)];
      for (std::int64_t i = 0; i < targets; ++i) {
        scores.as<float>()[row * targets + i] = static_cast<float>(votes[i]);
      }
    });
    out[0].tensor = labels;
    if (out.size() > 1) out[1].tensor = scores;
  }

 private:
  // Every vote is for the same one of two classes: its score decides.
  template <class T>
  std::int64_t decide(T* votes, std::int64_t targets) const {
    const Reals& base = ensemble_.forest().base;
    const std::size_t voted = second_ ? 1 : 0;
    T score = votes[voted];
    if (voted < base.size()) score += static_cast<T>(base[voted]);
    const bool yes = score > (positive_ && targets == 2 ? T(0.5) : T(0));
    if (targets == 2 && !second_ && base.size() < 2) {
      second_score(ensemble_.transform(), score, positive_, votes);
    } else {
      for (std::int64_t i = 0; i < targets; ++i) votes[i] = 0;
      votes[voted] = score;
      apply_transform(ensemble_.transform(), votes, targets);
    }
    return yes ? 1 : 0;
  }

  template <class T>
  std::int64_t best(T* votes, const std::uint8_t* voted, std::int64_t targets) const {
    const Reals& base = ensemble_.forest().base;
    std::int64_t found = -1;
    for (std::int64_t i = 0; i < targets; ++i) {
      const auto index = static_cast<std::size_t>(i);
      if (index < base.size()) votes[i] += static_cast<T>(base[index]);
      const bool counts = targets <= 2 || voted[i] || index < base.size();
      if (counts && (found < 0 || votes[i] > votes[found])) found = i;
    }
    apply_transform(ensemble_.transform(), votes, targets);
    return std::max<std::int64_t>(found, 0);
  }

  std::vector<std::int64_t> labels_;
  Ensemble ensemble_;
  bool one_class_ = true;
  bool second_ = false;
  bool positive_ = true;
};

constexpr OpEntry kOps[] = {
    {"pyrec.Forest", make_op<ForestScores>},
    {"pyrec.ForestClassifier", make_op<ForestClassifier>},
};

}  // namespace

std::span<const OpEntry> forest_ops() { return kOps; }

}  // namespace pyrec
