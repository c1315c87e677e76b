#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/scores.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

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

using Integers = std::vector<std::int64_t>;
using Reals = std::vector<double>;

constexpr std::int64_t kMaxTargets = std::int64_t{1} << 24;

[[noreturn]] void fail(const std::string& rule) { throw OpError(ErrorKind::kModel, rule); }

struct RawNode {
  double threshold = 0;
  std::int32_t feature = 0;
  std::int32_t yes = 0;
  std::int32_t no = 0;
  Mode mode = kLeaf;
  bool missing_yes = false;
};

// Any form of the operator: nodes in one list. Paths may meet, but none comes back to a node, so
// that a walk always ends at a leaf.
struct Forest {
  std::vector<RawNode> nodes;
  std::vector<std::int32_t> roots;
  std::vector<std::int32_t> vote_start;  // votes of node i: vote_start[i] up to vote_start[i + 1]
  std::vector<std::int32_t> vote_target;
  Reals vote_weight;
  Reals base;
  std::int64_t targets = 1;
  std::int64_t features = 0;  // least width of the input
  bool wide = false;          // thresholds are float64
};

Integers integers(const Attributes& attributes, const std::string& key, std::size_t count) {
  Integers values = attributes.integers(key);
  if (values.size() != count) {
    fail("expected " + std::to_string(count) + " values of " + key + ", got " +
         std::to_string(values.size()));
  }
  return values;
}

Integers integers_or_zero(const Attributes& attributes, const std::string& key, std::size_t count) {
  if (attributes.integers(key).empty()) return Integers(count, 0);
  return integers(attributes, key, count);
}

Reals tensor_reals(const Tensor& tensor) {
  if (tensor.dtype != DType::kFloat32 && tensor.dtype != DType::kFloat64 &&
      tensor.dtype != DType::kFloat16) {
    fail(std::string("expected a tensor of reals, got ") + dtype_name(tensor.dtype));
  }
  Reals values;
  for_each_outer(tensor.shape, 0, std::array{tensor.strides}, [&](std::int64_t offset) {
    values.push_back(tensor.dtype == DType::kFloat64 ? tensor.as<double>()[offset]
                     : tensor.dtype == DType::kFloat32
                         ? tensor.as<float>()[offset]
                         : static_cast<float>(tensor.as<Half>()[offset]));
  });
  return values;
}

// A list of reals (of float32 precision), or the tensor that may stand in for it.
Reals reals(const Attributes& attributes, const std::string& key) {
  if (const Tensor* tensor = attributes.tensor(key + "_as_tensor")) return tensor_reals(*tensor);
  Reals values = attributes.reals(key);
  for (double& value : values) value = static_cast<float>(value);
  return values;
}

std::int32_t feature_of(std::int64_t id) {
  if (id < 0 || id >= std::numeric_limits<std::int32_t>::max())
    fail("a feature id is out of range");
  return static_cast<std::int32_t>(id);
}

// How many answers lead to each node. No path may come back to a node: a walk would not end.
std::vector<std::int32_t> parents_of(const std::vector<RawNode>& nodes) {
  std::vector<std::int32_t> parents(nodes.size());
  const auto for_each_child = [&](const RawNode& node, auto&& visit) {
    if (node.mode == kLeaf) return;
    visit(static_cast<std::size_t>(node.yes));
    visit(static_cast<std::size_t>(node.no));
  };
  for (const RawNode& node : nodes) {
    for_each_child(node, [&](std::size_t child) { ++parents[child]; });
  }
  std::vector<std::int32_t> waiting = parents;
  std::vector<std::size_t> ready;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (waiting[i] == 0) ready.push_back(i);
  }
  std::size_t removed = 0;
  while (!ready.empty()) {
    const RawNode& node = nodes[ready.back()];
    ready.pop_back();
    ++removed;
    for_each_child(node, [&](std::size_t child) {
      if (--waiting[child] == 0) ready.push_back(child);
    });
  }
  if (removed != nodes.size()) fail("a tree has a cycle");
  return parents;
}

void set_features(Forest& forest) {
  for (const RawNode& node : forest.nodes) {
    if (node.mode != kLeaf)
      forest.features = std::max<std::int64_t>(forest.features, node.feature + std::int64_t{1});
  }
}

Mode mode_of(const std::string& name) {
  constexpr const char* kNames[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE",
                                    "BRANCH_GT",  "BRANCH_EQ", "BRANCH_NEQ"};
  for (int i = 0; i < 6; ++i) {
    if (name == kNames[i]) return static_cast<Mode>(i);
  }
  if (name == "LEAF") return kLeaf;
  fail("unknown mode of a node");
}

void check_size(std::size_t count) {
  if (count >= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
    fail("too many nodes or votes");
  }
}

// Versions 1 to 3: nodes and votes as lists of (tree id, node id).
Forest forest_of_lists(const Attributes& attributes, const std::string& prefix,
                       std::int64_t targets) {
  using Key = std::pair<std::int64_t, std::int64_t>;
  struct Hash {
    std::size_t operator()(const Key& key) const {
      return static_cast<std::size_t>(static_cast<std::uint64_t>(key.first) * 0x9e3779b97f4a7c15u ^
                                      static_cast<std::uint64_t>(key.second) * 0xc2b2ae3d27d4eb4fu);
    }
  };
  Forest forest;
  forest.targets = targets;
  const Integers trees = attributes.integers("nodes_treeids");
  const std::size_t count = trees.size();
  if (count == 0) fail("there are no nodes");
  check_size(count);
  const Integers ids = integers(attributes, "nodes_nodeids", count);
  const Integers features = integers(attributes, "nodes_featureids", count);
  const Integers yes = integers(attributes, "nodes_truenodeids", count);
  const Integers no = integers(attributes, "nodes_falsenodeids", count);
  const Integers missing = integers_or_zero(attributes, "nodes_missing_value_tracks_true", count);
  const std::vector<std::string> modes = attributes.texts("nodes_modes");
  const Reals thresholds = reals(attributes, "nodes_values");
  if (modes.size() != count || thresholds.size() != count) {
    fail("expected " + std::to_string(count) + " nodes_modes and nodes_values, got " +
         std::to_string(modes.size()) + " and " + std::to_string(thresholds.size()));
  }
  if (const Tensor* tensor = attributes.tensor("nodes_values_as_tensor")) {
    forest.wide = tensor->dtype == DType::kFloat64;
  }
  std::unordered_map<Key, std::int32_t, Hash> where;
  where.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (!where.emplace(Key(trees[i], ids[i]), static_cast<std::int32_t>(i)).second) {
      fail("a node id occurs twice in a tree");
    }
  }
  const auto child = [&](std::int64_t tree, std::int64_t id) {
    const auto found = where.find(Key(tree, id));
    if (found == where.end()) fail("a child is not a node of its tree");
    return found->second;
  };
  forest.nodes.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    RawNode& node = forest.nodes[i];
    node.mode = mode_of(modes[i]);
    if (node.mode == kLeaf) continue;
    node.threshold = thresholds[i];
    node.feature = feature_of(features[i]);
    node.yes = child(trees[i], yes[i]);
    node.no = child(trees[i], no[i]);
    node.missing_yes = missing[i] != 0;
  }
  const std::vector<std::int32_t> parents = parents_of(forest.nodes);
  std::unordered_map<std::int64_t, bool> rooted;
  for (std::size_t i = 0; i < count; ++i) {
    bool& has_root = rooted[trees[i]];
    if (parents[i] > 0) continue;
    if (has_root) fail("a tree has two roots");
    has_root = true;
    forest.roots.push_back(static_cast<std::int32_t>(i));
  }
  const Integers vote_trees = attributes.integers(prefix + "_treeids");
  const std::size_t votes = vote_trees.size();
  check_size(votes);
  const Integers vote_nodes = integers(attributes, prefix + "_nodeids", votes);
  const Integers vote_targets = integers(attributes, prefix + "_ids", votes);
  const Reals weights = reals(attributes, prefix + "_weights");
  if (weights.size() != votes) {
    fail("expected " + std::to_string(votes) + " values of " + prefix + "_weights, got " +
         std::to_string(weights.size()));
  }
  std::vector<std::int32_t> owners(votes);
  forest.vote_start.assign(count + 1, 0);
  for (std::size_t i = 0; i < votes; ++i) {
    if (vote_targets[i] < 0 || vote_targets[i] >= targets) {
      fail("a vote is not for one of the " + std::to_string(targets) + " targets");
    }
    const auto found = where.find(Key(vote_trees[i], vote_nodes[i]));
    if (found == where.end()) fail("a vote names a node that does not exist");
    owners[i] = found->second;
    ++forest.vote_start[static_cast<std::size_t>(owners[i]) + 1];
  }
  for (std::size_t i = 0; i < count; ++i) forest.vote_start[i + 1] += forest.vote_start[i];
  std::vector<std::int32_t> next(forest.vote_start.begin(), forest.vote_start.end() - 1);
  forest.vote_target.resize(votes);
  forest.vote_weight.resize(votes);
  for (std::size_t i = 0; i < votes; ++i) {
    const auto at = static_cast<std::size_t>(next[static_cast<std::size_t>(owners[i])]++);
    forest.vote_target[at] = static_cast<std::int32_t>(vote_targets[i]);
    forest.vote_weight[at] = weights[i];
  }
  forest.base = reals(attributes, "base_values");
  set_features(forest);
  return forest;
}

const Tensor& tensor_of(const Attributes& attributes, const std::string& key) {
  const Tensor* tensor = attributes.tensor(key);
  if (!tensor) fail("attribute " + key + " is missing");
  return *tensor;
}

// The NaN-delimited sets of the membership tests.
std::vector<Reals> member_sets(const Attributes& attributes, std::size_t count) {
  std::vector<Reals> sets;
  if (const Tensor* tensor = attributes.tensor("membership_values")) {
    bool open = false;
    for (double value : tensor_reals(*tensor)) {
      if (!open) sets.emplace_back();
      open = !std::isnan(value);
      if (open) sets.back().push_back(value);
    }
  }
  if (sets.size() != count) {
    fail("expected " + std::to_string(count) + " sets of membership_values, got " +
         std::to_string(sets.size()));
  }
  return sets;
}

// Version 5: branches and leaves apart, children by position.
Forest forest_of_tensors(const Attributes& attributes, std::int64_t targets) {
  Forest forest;
  forest.targets = targets;
  const Tensor& mode_tensor = tensor_of(attributes, "nodes_modes");
  const Tensor& splits = tensor_of(attributes, "nodes_splits");
  forest.wide = splits.dtype == DType::kFloat64;
  const Reals thresholds = tensor_reals(splits);
  forest.vote_weight = tensor_reals(tensor_of(attributes, "leaf_weights"));
  if (mode_tensor.dtype != DType::kUint8) fail("nodes_modes: expected uint8");
  const auto count = static_cast<std::size_t>(mode_tensor.elements());
  const std::size_t leaves = forest.vote_weight.size();
  check_size(count + leaves);
  if (thresholds.size() != count) fail("expected as many nodes_splits as nodes_modes");
  const Integers features = integers(attributes, "nodes_featureids", count);
  const Integers missing = integers_or_zero(attributes, "nodes_missing_value_tracks_true", count);
  const Integers leaf_targets = integers(attributes, "leaf_targetids", leaves);
  for (std::int64_t target : leaf_targets) {
    if (target < 0 || target >= targets) {
      fail("a leaf is not for one of the " + std::to_string(targets) + " targets");
    }
    forest.vote_target.push_back(static_cast<std::int32_t>(target));
  }
  const auto children = [&](const std::string& side) {
    const Integers ids = integers(attributes, "nodes_" + side + "nodeids", count);
    const Integers is_leaf = integers(attributes, "nodes_" + side + "leafs", count);
    std::vector<std::int32_t> result(count);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t limit = is_leaf[i] != 0 ? leaves : count;
      if (ids[i] < 0 || ids[i] >= static_cast<std::int64_t>(limit)) fail("a child does not exist");
      result[i] = static_cast<std::int32_t>(ids[i]) +
                  (is_leaf[i] != 0 ? static_cast<std::int32_t>(count) : 0);
    }
    return result;
  };
  const std::vector<std::int32_t> yes = children("true");
  const std::vector<std::int32_t> no = children("false");
  forest.nodes.resize(count + leaves);
  std::vector<std::size_t> members;
  std::size_t read = 0;
  for_each_outer(mode_tensor.shape, 0, std::array{mode_tensor.strides}, [&](std::int64_t offset) {
    const std::size_t i = read++;
    const std::uint8_t mode = mode_tensor.as<std::uint8_t>()[offset];
    if (mode > kMember) fail("unknown mode of a node");
    forest.nodes[i] = {thresholds[i], feature_of(features[i]), yes[i],
                       no[i],         static_cast<Mode>(mode), missing[i] != 0};
    if (mode == kMember) members.push_back(i);
  });
  const std::vector<std::int32_t> parents = parents_of(forest.nodes);
  std::vector<bool> seen(count);
  for (std::int64_t root : attributes.integers("tree_roots")) {
    if (root < 0 || root >= static_cast<std::int64_t>(count)) fail("a root does not exist");
    const auto i = static_cast<std::size_t>(root);
    if (seen[i] || parents[i] > 0) fail("a root is the child of a node, or occurs twice");
    seen[i] = true;
    forest.roots.push_back(static_cast<std::int32_t>(root));
  }
  if (forest.roots.empty()) fail("there are no trees");
  forest.vote_start.assign(count, 0);
  for (std::size_t i = 0; i <= leaves; ++i) {
    forest.vote_start.push_back(static_cast<std::int32_t>(i));
  }
  // A membership test becomes a chain of equalities; an empty set compares with NaN.
  const std::vector<Reals> sets = member_sets(attributes, members.size());
  for (std::size_t m = 0; m < members.size(); ++m) {
    const RawNode test = forest.nodes[members[m]];
    std::size_t at = members[m];
    forest.nodes[at].mode = kEqual;
    forest.nodes[at].threshold =
        sets[m].empty() ? std::numeric_limits<double>::quiet_NaN() : sets[m][0];
    for (std::size_t i = 1; i < sets[m].size(); ++i) {
      check_size(forest.nodes.size());
      forest.nodes[at].no = static_cast<std::int32_t>(forest.nodes.size());
      at = forest.nodes.size();
      forest.nodes.push_back(test);
      forest.nodes[at].mode = kEqual;
      forest.nodes[at].threshold = sets[m][i];
      forest.vote_start.push_back(static_cast<std::int32_t>(leaves));
    }
  }
  set_features(forest);
  return forest;
}

// The nodes as the walk reads them; a leaf leads to itself.
template <class T>
struct WalkNode {
  T threshold;
  std::int32_t feature;
  std::int32_t child[2];  // no, yes
};

template <Mode kMode, class T>
bool answer(T value, T threshold) {
  if constexpr (kMode == kLessEqual) return value <= threshold;
  if constexpr (kMode == kLess) return value < threshold;
  if constexpr (kMode == kGreaterEqual) return value >= threshold;
  if constexpr (kMode == kGreater) return value > threshold;
  if constexpr (kMode == kEqual) return value == threshold;
  return value != threshold;
}

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

constexpr int kRows = 8;

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
    bool first = true;
    for (std::size_t i = 0; i < forest.nodes.size(); ++i) {
      const RawNode& node = forest.nodes[i];
      const auto self = static_cast<std::int32_t>(i);
      const bool leaf = node.mode == kLeaf;
      nodes_.push_back({static_cast<T>(node.threshold),
                        leaf ? 0 : node.feature,
                        {leaf ? self : node.no, leaf ? self : node.yes}});
      modes_.push_back(leaf ? kLessEqual : node.mode);
      missing_.push_back(!leaf && node.missing_yes);
      if (leaf) continue;
      any_missing_ = any_missing_ || node.missing_yes;
      uniform_ = first ? node.mode : uniform_ == node.mode ? uniform_ : kMember;
      first = false;
    }
  }

  void run(std::int32_t root, const T* const* rows, std::int32_t* at) const {
    const WalkNode<T>* nodes = nodes_.data();
    if (uniform_ == kLessEqual && !any_missing_) {
      descend(nodes, root, rows, at,
              [](std::int32_t, T x, T t) { return answer<kLessEqual>(x, t); });
    } else if (uniform_ == kLessEqual) {
      descend(nodes, root, rows, at, [this](std::int32_t i, T x, T t) {
        return answer<kLessEqual>(x, t) || (x != x && missing_[static_cast<std::size_t>(i)] != 0);
      });
    } else if (uniform_ == kLess) {
      descend(nodes, root, rows, at, [this](std::int32_t i, T x, T t) {
        return answer<kLess>(x, t) || (x != x && missing_[static_cast<std::size_t>(i)] != 0);
      });
    } else {
      descend(nodes, root, rows, at, [this](std::int32_t i, T x, T t) {
        const auto index = static_cast<std::size_t>(i);
        return answer(modes_[index], x, t) || (x != x && missing_[index] != 0);
      });
    }
  }

 private:
  std::vector<WalkNode<T>> nodes_;
  std::vector<std::uint8_t> modes_;
  std::vector<std::uint8_t> missing_;
  Mode uniform_ = kLessEqual;
  bool any_missing_ = false;
};

class Ensemble {
 public:
  Ensemble(Forest forest, Aggregate aggregate)
      : forest_(std::move(forest)), narrow_(forest_), wide_(forest_), aggregate_(aggregate) {}

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
    constexpr std::int64_t kBlock = 64;
    const std::int64_t count = matrix.shape[0];
    const std::int64_t width = matrix.shape[1];
    if (width < forest_.features) {
      throw OpError(ErrorKind::kShape, "expected at least " + std::to_string(forest_.features) +
                                           " features, got " + std::to_string(width));
    }
    const std::int64_t targets = forest_.targets;
    const Tensor scores = allocate(context, DTypeOf<T>::value, Shape{kBlock, targets});
    const Tensor voted = allocate(context, DType::kUint8, Shape{kBlock, targets});
    // Leaves read feature 0 too.
    const T nothing = 0;
    for (std::int64_t begin = 0; begin < count; begin += kBlock) {
      const std::int64_t rows = std::min(kBlock, count - begin);
      std::fill_n(scores.as<T>(), rows * targets, T(0));
      std::fill_n(voted.as<std::uint8_t>(), rows * targets, std::uint8_t(0));
      for (std::int32_t root : forest_.roots) {
        for (std::int64_t group = 0; group < rows; group += kRows) {
          const T* pointers[kRows];
          std::int32_t at[kRows];
          const std::int64_t used = std::min<std::int64_t>(kRows, rows - group);
          for (std::int64_t r = 0; r < kRows; ++r) {
            const std::int64_t row = begin + group + (r < used ? r : 0);
            pointers[r] = width == 0 ? &nothing : matrix.as<T>() + row * width;
          }
          walker.run(root, pointers, at);
          for (std::int64_t r = 0; r < used; ++r) {
            vote(at[r], scores.as<T>() + (group + r) * targets,
                 voted.as<std::uint8_t>() + (group + r) * targets);
          }
        }
      }
      for (std::int64_t r = 0; r < rows; ++r) {
        T* row = scores.as<T>() + r * targets;
        if (aggregate_ == Aggregate::kAverage) {
          for (std::int64_t j = 0; j < targets; ++j) row[j] /= static_cast<T>(forest_.roots.size());
        }
        finish(begin + r, row, voted.as<std::uint8_t>() + r * targets);
      }
    }
    return count;
  }

  template <class T>
  void vote(std::int32_t leaf, T* scores, std::uint8_t* voted) const {
    const auto node = static_cast<std::size_t>(leaf);
    for (std::int32_t i = forest_.vote_start[node]; i < forest_.vote_start[node + 1]; ++i) {
      const std::int32_t target = forest_.vote_target[static_cast<std::size_t>(i)];
      const T weight = static_cast<T>(forest_.vote_weight[static_cast<std::size_t>(i)]);
      T& score = scores[target];
      if (aggregate_ == Aggregate::kMin || aggregate_ == Aggregate::kMax) {
        const bool better = aggregate_ == Aggregate::kMin ? weight < score : weight > score;
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
  Aggregate aggregate_;
};

std::int64_t rows_of(const Tensor& x) { return x.rank() == 2 ? x.shape[0] : 1; }

std::int64_t targets_of(const Attributes& attributes) {
  const std::int64_t targets = attributes.integer("n_targets", 1);
  if (targets < 1 || targets > kMaxTargets) fail("n_targets is " + std::to_string(targets));
  return targets;
}

Aggregate aggregate_named(const std::string& name) {
  constexpr const char* kNames[] = {"AVERAGE", "SUM", "MIN", "MAX"};
  for (int i = 0; i < 4; ++i) {
    if (name == kNames[i]) return static_cast<Aggregate>(i);
  }
  fail("unknown aggregate_function");
}

// The scores of a regression with base values and transform; `To` is what comes out.
template <class To>
void regress(Context& context, const Ensemble& ensemble, Transform transform, const Tensor& x,
             const Tensor& y) {
  const std::int64_t targets = ensemble.forest().targets;
  const Reals& base = ensemble.forest().base;
  ensemble.run(context, x, [&](std::int64_t row, auto* scores, const std::uint8_t*) {
    using T = std::remove_pointer_t<decltype(scores)>;
    for (std::size_t i = 0; i < base.size(); ++i) scores[i] += static_cast<T>(base[i]);
    apply_transform(transform, scores, targets);
    To* out = y.as<To>() + row * targets;
    for (std::int64_t i = 0; i < targets; ++i) out[i] = static_cast<To>(scores[i]);
  });
}

class TreeEnsembleRegressor {
 public:
  explicit TreeEnsembleRegressor(const OpSpec& spec)
      : ensemble_(forest_of_lists(spec.attributes, "target", targets_of(spec.attributes)),
                  aggregate_named(spec.attributes.text("aggregate_function", "SUM"))),
        transform_(transform_of(spec.attributes.text("post_transform", "NONE"))) {
    const std::size_t base = ensemble_.forest().base.size();
    if (base != 0 && static_cast<std::int64_t>(base) != ensemble_.forest().targets) {
      fail("expected one base value a target, got " + std::to_string(base));
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& x = required(in, 0);
    const Shape shape{rows_of(x), ensemble_.forest().targets};
    out[0].tensor = allocate(context, DType::kFloat32, shape);
    regress<float>(context, ensemble_, transform_, x, out[0].tensor);
  }

 private:
  Ensemble ensemble_;
  Transform transform_;
};

class TreeEnsemble {
 public:
  explicit TreeEnsemble(const OpSpec& spec)
      : ensemble_(forest_of_tensors(spec.attributes, targets_of(spec.attributes)),
                  static_cast<Aggregate>(code(spec.attributes, "aggregate_function", 1, 3))),
        transform_(static_cast<Transform>(code(spec.attributes, "post_transform", 0, 4))) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& x = required(in, 0);
    const Shape shape{rows_of(x), ensemble_.forest().targets};
    if (x.dtype == DType::kFloat64) {
      out[0].tensor = allocate(context, DType::kFloat64, shape);
      regress<double>(context, ensemble_, transform_, x, out[0].tensor);
    } else {
      const Tensor y = allocate(context, DType::kFloat32, shape);
      regress<float>(context, ensemble_, transform_, x, y);
      out[0].tensor = cast(context, y, x.dtype);
    }
  }

 private:
  static std::int64_t code(const Attributes& attributes, const std::string& key,
                           std::int64_t fallback, std::int64_t last) {
    const std::int64_t value = attributes.integer(key, fallback);
    if (value < 0 || value > last) fail("unknown " + key);
    return value;
  }

  Ensemble ensemble_;
  Transform transform_;
};

class TreeEnsembleClassifier {
 public:
  explicit TreeEnsembleClassifier(const OpSpec& spec)
      : labels_(class_labels(spec.attributes, "classlabels_int64s")),
        ensemble_(
            forest_of_lists(spec.attributes, "class", static_cast<std::int64_t>(labels_.size())),
            Aggregate::kSum),
        transform_(transform_of(spec.attributes.text("post_transform", "NONE"))) {
    const Forest& forest = ensemble_.forest();
    if (forest.base.size() > labels_.size()) fail("more base values than classes");
    // One class is a yes or no: the labels are then 0 and 1.
    if (labels_.size() == 1) labels_ = {0, 1};
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
      second_score(transform_, score, positive_, votes);
    } else {
      for (std::int64_t i = 0; i < targets; ++i) votes[i] = 0;
      votes[voted] = score;
      apply_transform(transform_, votes, targets);
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
    apply_transform(transform_, votes, targets);
    return std::max<std::int64_t>(found, 0);
  }

  std::vector<std::int64_t> labels_;
  Ensemble ensemble_;
  Transform transform_;
  bool one_class_ = true;
  bool second_ = false;
  bool positive_ = true;
};

constexpr OpEntry kOps[] = {
    {"ai.onnx.ml.TreeEnsembleRegressor", make_op<TreeEnsembleRegressor>},
    {"ai.onnx.ml.TreeEnsembleClassifier", make_op<TreeEnsembleClassifier>},
    {"ai.onnx.ml.TreeEnsemble", make_op<TreeEnsemble>},
};

}  // namespace

std::span<const OpEntry> tree_ensemble_ops() { return kOps; }

}  // namespace pyrec
