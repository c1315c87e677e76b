#pragma once

// Operators of forests, over what finds rows' votes: an `Ensemble` made from the node, with its
// forest(), transform(), rows(in), score_type(in) and run(context, in, finish), which calls
// finish(row, votes, voted) for each row.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "plan/ops/scores.h"
#include "plan/tensor_tools.h"
#include "trees/forest.h"
#include "trees/forest_votes.h"

namespace pyrec {

// The node's forest; throws OpError where it would lead out of its arrays.
Forest forest_of(const Attributes& attributes);

// Of forests some of whose features are known before the others.
std::unique_ptr<Op> make_places(const OpSpec& spec);
std::unique_ptr<Op> make_prune_forest(const OpSpec& spec);
std::unique_ptr<Op> make_pruned_forest(const OpSpec& spec);
std::unique_ptr<Op> make_pruned_classifier(const OpSpec& spec);

// Room for the votes of a block of rows, and of one of them.
template <class T>
class VoteRoom {
 public:
  VoteRoom(Context& context, std::int64_t targets)
      : row_scores_(allocate(context, DTypeOf<T>::value, Shape{targets})),
        row_voted_(allocate(context, DType::kUint8, Shape{targets})),
        scores_(allocate(context, DTypeOf<T>::value, Shape{targets, ForestVotes::kRows})),
        voted_(allocate(context, DType::kUint8, Shape{targets, ForestVotes::kRows})) {}

  ForestVotes::Block<T> block() const { return {0, scores_.as<T>(), voted_.as<std::uint8_t>()}; }

  // Calls finish(row, scores, voted) for each row of a block, the first of which is `begin`.
  template <class F>
  void end(const ForestVotes& votes, const ForestVotes::Block<T>& block, std::int64_t begin,
           F& finish) const {
    for (std::int64_t r = 0; r < block.rows; ++r) {
      votes.end(block, r, row_scores_.as<T>(), row_voted_.as<std::uint8_t>());
      finish(begin + r, row_scores_.as<T>(), row_voted_.as<std::uint8_t>());
    }
  }

 private:
  Tensor row_scores_, row_voted_, scores_, voted_;
};

template <class Ensemble>
class ForestScores {
 public:
  explicit ForestScores(const OpSpec& spec)
      : ensemble_(spec), transform_(transform_of(spec.attributes.text("transform", "NONE"))) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const DType dtype = ensemble_.score_type(in);
    const Shape shape{ensemble_.rows(in), ensemble_.forest().targets};
    if (dtype == DType::kFloat64) {
      out[0].tensor = allocate(context, DType::kFloat64, shape);
      write<double>(context, in, out[0].tensor);
    } else {
      const Tensor y = allocate(context, DType::kFloat32, shape);
      write<float>(context, in, y);
      out[0].tensor = dtype == DType::kFloat32 ? y : cast(context, y, dtype);
    }
  }

 private:
  // The scores with base values and transform; `To` is what comes out.
  template <class To>
  void write(Context& context, std::span<const Value* const> in, const Tensor& y) const {
    const Forest& forest = ensemble_.forest();
    ensemble_.run(context, in, [&](std::int64_t row, auto* scores, const std::uint8_t*) {
      using T = std::remove_pointer_t<decltype(scores)>;
      for (std::size_t i = 0; i < forest.base.size(); ++i)
        scores[i] += static_cast<T>(forest.base[i]);
      apply_transform(transform_, scores, forest.targets);
      To* out = y.as<To>() + row * forest.targets;
      for (std::int64_t i = 0; i < forest.targets; ++i) out[i] = static_cast<To>(scores[i]);
    });
  }

  Ensemble ensemble_;
  Transform transform_;
};

template <class Ensemble>
class ForestClassifier {
 public:
  explicit ForestClassifier(const OpSpec& spec)
      : labels_(elements_of<std::int64_t>(spec.attributes, "labels")),
        ensemble_(spec),
        transform_(transform_of(spec.attributes.text("transform", "NONE"))) {
    const Forest& forest = ensemble_.forest();
    if (labels_.size() != static_cast<std::size_t>(std::max<std::int64_t>(forest.targets, 2))) {
      throw OpError(ErrorKind::kModel, "the labels do not fit the forest");
    }
    for (std::int32_t target : forest.vote_target) {
      one_class_ = one_class_ && target == forest.vote_target[0];
    }
    second_ = one_class_ && !forest.vote_target.empty() && forest.vote_target[0] == 1;
    for (double weight : forest.vote_weight) positive_ = positive_ && weight >= 0;
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const std::int64_t targets = ensemble_.forest().targets;
    const Tensor labels = allocate(context, DType::kInt64, Shape{ensemble_.rows(in)});
    const Tensor scores = allocate(context, DType::kFloat32, Shape{ensemble_.rows(in), targets});
    ensemble_.run(context, in, [&](std::int64_t row, auto* votes, const std::uint8_t* voted) {
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
    const std::vector<double>& base = ensemble_.forest().base;
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
    const std::vector<double>& base = ensemble_.forest().base;
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

}  // namespace pyrec
