#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/ranked_forest.h"
#include "plan/ops/scores.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

// As the IR numbers them; a test of categories comes as a chain of equalities.
enum Mode : std::uint8_t {
  kLessEqual,
  kLess,
  kGreaterEqual,
  kGreater,
  kEqual,
  kNotEqual,
  kMember,
  kLeaf,
};

enum class Aggregate { kAverage, kSum, kMin, kMax };

using Indices = std::vector<std::int32_t>;
using Reals = std::vector<double>;

[[noreturn]] void fail(const std::string& rule) { throw OpError(ErrorKind::kModel, rule); }

// The IR's forest. That no path comes back to a node is proved there; here it is made sure that
// nothing is read outside of the arrays.
struct Forest {
  std::vector<std::uint8_t> modes;
  std::vector<std::uint8_t> missing_yes;
  Reals thresholds;
  Indices features;
  Indices yes;
  Indices no;
  Indices roots;
  Indices vote_start;  // votes of node i: vote_start[i] up to vote_start[i + 1]
  Indices vote_target;
  Reals vote_weight;
  Reals base;
  std::int64_t targets = 1;
  std::int64_t width = 0;  // least number of features
  bool wide = false;       // thresholds are float64
  Aggregate aggregate = Aggregate::kSum;
  Transform transform = Transform::kNone;
};

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
  forest.modes = elements_of<std::uint8_t>(attributes, "comparisons");
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
  forest.transform = transform_of(attributes.text("transform", "NONE"));
  const std::size_t count = forest.modes.size();
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
    require(forest.features[i] >= 0 && forest.modes[i] <= kLeaf && forest.modes[i] != kMember);
    if (forest.modes[i] == kLeaf) continue;
    forest.width = std::max<std::int64_t>(forest.width, forest.features[i] + std::int64_t{1});
  }
  return forest;
}

// The nodes as the walk reads them; a leaf leads to itself.
template <class T>
struct WalkNode {
  T threshold;
  std::int32_t feature;
  std::int32_t child[2];  // no, yes
};

template <class T>
bool answer(std::uint8_t mode, T value, T threshold) {
  switch (mode) {
    case kLessEqual:
      return value <= threshold;
    case kLess:
      return value < threshold;
    case kGreaterEqual:
      return value >= threshold;
    case kGreater:
      return value > threshold;
    case kEqual:
      return value == threshold;
    default:
      return value != threshold;
  }
}

constexpr int kRows = RankedForest<float>::kGroup;

// Moves kRows rows down one tree together, so that their cache misses overlap.
template <class T, class Step>
void descend(const WalkNode<T>* nodes, std::int32_t root, const T* const* rows, std::int32_t* at,
             Step step) {
  for (int r = 0; r < kRows; ++r) at[r] = root;
  std::int32_t moved = 1;
  while (moved != 0) {
    moved = 0;
    for (int r = 0; r < kRows; ++r) {
      const WalkNode<T>& node = nodes[at[r]];
      const std::int32_t next = node.child[step(at[r], rows[r][node.feature], node.threshold)];
      moved |= next ^ at[r];
      at[r] = next;
    }
  }
}

template <class T>
class Walker {
 public:
  explicit Walker(const Forest& forest) {
    // A forest of float64 is never walked in float32.
    if (forest.wide && DTypeOf<T>::value == DType::kFloat32) return;
    std::vector<std::uint8_t> leaf;
    bool less = true;
    bool less_equal = true;
    for (const std::uint8_t mode : forest.modes) {
      leaf.push_back(mode == kLeaf);
      less = less && (mode == kLess || mode == kLeaf);
      less_equal = less_equal && (mode == kLessEqual || mode == kLeaf);
    }
    if (less || less_equal) {
      ranked_ = RankedForest<T>::make({leaf, forest.missing_yes, forest.thresholds, forest.features,
                                       forest.yes, forest.no, forest.roots, !less_equal});
      if (ranked_) return;
    }
    for (std::size_t i = 0; i < forest.modes.size(); ++i) {
      const auto self = static_cast<std::int32_t>(i);
      nodes_.push_back({static_cast<T>(forest.thresholds[i]),
                        leaf[i] ? 0 : forest.features[i],
                        {leaf[i] ? self : forest.no[i], leaf[i] ? self : forest.yes[i]}});
      modes_.push_back(leaf[i] ? static_cast<std::uint8_t>(kLessEqual) : forest.modes[i]);
      missing_.push_back(!leaf[i] && forest.missing_yes[i] != 0);
    }
  }

  // Where every branch compares in the same way.
  const std::optional<RankedForest<T>>& ranked() const { return ranked_; }

  void run(std::int32_t root, const T* const* rows, std::int32_t* at) const {
    descend(nodes_.data(), root, rows, at, [this](std::int32_t i, T x, T t) {
      const auto index = static_cast<std::size_t>(i);
      return answer(modes_[index], x, t) || (x != x && missing_[index] != 0);
    });
  }

 private:
  std::optional<RankedForest<T>> ranked_;
  std::vector<WalkNode<T>> nodes_;
  std::vector<std::uint8_t> modes_;
  std::vector<std::uint8_t> missing_;
};

class Ensemble {
 public:
  explicit Ensemble(const Attributes& attributes)
      : forest_(forest_of(attributes)), narrow_(forest_), wide_(forest_) {
    const bool adds =
        forest_.aggregate == Aggregate::kSum || forest_.aggregate == Aggregate::kAverage;
    for (std::size_t i = 0; adds && i < forest_.modes.size(); ++i) {
      const std::int32_t first = forest_.vote_start[i];
      const std::int32_t votes = forest_.vote_start[i + 1] - first;
      const bool other = votes == 1 && forest_.vote_target[static_cast<std::size_t>(first)] !=
                                           forest_.vote_target.front();
      if ((forest_.modes[i] == kLeaf && votes != 1) || other) {
        weights_.clear();
        break;
      }
      weights_.push_back(votes == 1 ? forest_.vote_weight[static_cast<std::size_t>(first)] : 0);
    }
    if (!weights_.empty()) target_ = forest_.vote_target.front();
  }

  const Forest& forest() const { return forest_; }

  // Calls finish(row, scores, voted) for each row with its aggregated votes, in float32 or float64.
  template <class F>
  std::int64_t run(Context& context, const Tensor& x, F finish) const {
    if (forest_.wide || x.dtype == DType::kFloat64) {
      return walk<double>(context, feature_matrix(context, x, DType::kFloat64), wide_, finish);
    }
    return walk<float>(context, feature_matrix(context, x, DType::kFloat32), narrow_, finish);
  }

 private:
  template <class T, class F>
  std::int64_t walk(Context& context, const Tensor& matrix, const Walker<T>& walker,
                    F finish) const {
    constexpr std::int64_t kBlock = RankedForest<T>::kBlock;
    const std::int64_t count = matrix.shape[0];
    const std::int64_t width = matrix.shape[1];
    if (width < forest_.width) {
      throw OpError(ErrorKind::kShape, "expected at least " + std::to_string(forest_.width) +
                                           " features, got " + std::to_string(width));
    }
    const std::int64_t targets = forest_.targets;
    const Tensor scores = allocate(context, DTypeOf<T>::value, Shape{kBlock, targets});
    const Tensor voted = allocate(context, DType::kUint8, Shape{kBlock, targets});
    const std::optional<RankedForest<T>>& ranked = walker.ranked();
    const std::int64_t columns = ranked ? static_cast<std::int64_t>(ranked->columns()) : 0;
    const Tensor ranks =
        allocate(context, DType::kUint16, Shape{std::max<std::int64_t>(columns, 1), kBlock});
    std::fill_n(ranks.as<std::uint16_t>(), kBlock, std::uint16_t{0});
    // Leaves read feature 0 too.
    const T nothing = 0;
    for (std::int64_t begin = 0; begin < count; begin += kBlock) {
      const std::int64_t rows = std::min(kBlock, count - begin);
      std::fill_n(scores.as<T>(), rows * targets, T(0));
      std::fill_n(voted.as<std::uint8_t>(), rows * targets, std::uint8_t(0));
      if (ranked) {
        ranked->rank(matrix.as<T>() + begin * width, width, rows, ranks.as<std::uint16_t>());
      }
      for (std::size_t tree = 0; tree < forest_.roots.size(); ++tree) {
        for (std::int64_t group = 0; group < rows; group += kRows) {
          std::int32_t at[kRows];
          const std::int64_t used = std::min<std::int64_t>(kRows, rows - group);
          if (ranked) {
            ranked->walk(tree, ranks.as<std::uint16_t>() + group, at);
          } else {
            const T* pointers[kRows];
            for (std::int64_t r = 0; r < kRows; ++r) {
              const std::int64_t row = begin + group + (r < used ? r : 0);
              pointers[r] = width == 0 ? &nothing : matrix.as<T>() + row * width;
            }
            walker.run(forest_.roots[tree], pointers, at);
          }
          add_votes(at, used, scores.as<T>() + group * targets,
                    voted.as<std::uint8_t>() + group * targets);
        }
      }
      for (std::int64_t r = 0; r < rows; ++r) {
        T* row = scores.as<T>() + r * targets;
        if (forest_.aggregate == Aggregate::kAverage) {
          for (std::int64_t j = 0; j < targets; ++j) row[j] /= static_cast<T>(forest_.roots.size());
        }
        finish(begin + r, row, voted.as<std::uint8_t>() + r * targets);
      }
    }
    return count;
  }

  // What the leaves of some rows say.
  template <class T>
  void add_votes(const std::int32_t* leaves, std::int64_t rows, T* scores,
                 std::uint8_t* voted) const {
    for (std::int64_t r = 0; r < rows; ++r) {
      if (weights_.empty()) {
        vote(leaves[r], scores + r * forest_.targets, voted + r * forest_.targets);
      } else {
        scores[r * forest_.targets + target_] +=
            static_cast<T>(weights_[static_cast<std::size_t>(leaves[r])]);
        voted[r * forest_.targets + target_] = 1;
      }
    }
  }

  template <class T>
  void vote(std::int32_t leaf, T* scores, std::uint8_t* voted) const {
    const auto node = static_cast<std::size_t>(leaf);
    for (std::int32_t i = forest_.vote_start[node]; i < forest_.vote_start[node + 1]; ++i) {
      const std::int32_t target = forest_.vote_target[static_cast<std::size_t>(i)];
      const T weight = static_cast<T>(forest_.vote_weight[static_cast<std::size_t>(i)]);
      T& score = scores[target];
      if (forest_.aggregate == Aggregate::kMin || forest_.aggregate == Aggregate::kMax) {
        const bool better = forest_.aggregate == Aggregate::kMin ? weight < score : weight > score;
        if (!voted[target] || better) score = weight;
      } else {
        score += weight;
      }
      voted[target] = 1;
    }
  }

  Forest forest_;
  Walker<float> narrow_;
  Walker<double> wide_;
  Reals weights_;  // of each node, where each leaf has one vote and votes are added to one score
  std::int64_t target_ = 0;  // that score
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
    apply_transform(forest.transform, scores, forest.targets);
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
      second_score(ensemble_.forest().transform, score, positive_, votes);
    } else {
      for (std::int64_t i = 0; i < targets; ++i) votes[i] = 0;
      votes[voted] = score;
      apply_transform(ensemble_.forest().transform, votes, targets);
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
    apply_transform(ensemble_.forest().transform, votes, targets);
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
