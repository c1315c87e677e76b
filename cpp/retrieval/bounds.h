#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "retrieval/vector_table.h"

namespace pyrec {

// The largest of some vectors' details.
struct BlockBounds {
  float norm = 0;
  float residual = 0;
  float bias = -std::numeric_limits<float>::infinity();
  float bias_size = 0;  // of its absolute value

  void include(const VectorDetails& details, bool screened);
  void include(const BlockBounds& other);
};

// What scores can be, for some queries and any block of items. docs/retrieval.md has the proof.
class QueryBounds {
 public:
  // `codes` has room for `codes_stride` bytes of each query; null: no codes are made.
  QueryBounds(const float* queries, std::size_t count, std::size_t width, std::uint8_t* codes,
              std::size_t codes_stride);

  // The scale of each query's codes.
  const float* scales() const { return scales_.data(); }
  // What the residual of an item's codes counts by, where the screen counts each item's own.
  const float* sizes() const { return sizes_.data(); }

  // Writes for each query what the score of the codes, or without codes a sum of the same products
  // in any order, is not less than where a pair's score is not less than least[query]: plus
  // infinity where no pair of the block has such a score. Returns whether there is a query for
  // which one may have.
  bool reach(const BlockBounds& block, std::span<const float> least, std::span<float> reach) const;
  // The same of one query.
  float reach(const BlockBounds& block, std::size_t query, float least) const;

 private:
  struct Query {
    double norm_share;      // of the items' norms in the difference of the two scores
    double residual_share;  // of their residuals
    double rest;
    double norm;  // of the query, and what products of this length may be rounded by
  };

  // No less than what a pair's score and that of the codes, or of the other sum, differ by.
  double apart(const BlockBounds& block, std::size_t query) const;

  double bias_share_;  // of the items' biases in the difference
  double bias_rounded_;
  std::vector<float> scales_;
  std::vector<float> sizes_;
  std::vector<Query> queries_;
};

}  // namespace pyrec
