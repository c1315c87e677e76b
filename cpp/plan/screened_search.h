#pragma once

// The best candidates of a request by scores in float32, most of which are not worked out: near
// ones with a bound of their error show that they cannot be among the best.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "plan/executor.h"
#include "plan/score_bound.h"

namespace pyrec {

struct ScreenedSearch {
  const Executor& near;   // makes the sums that scores are made of, and what is measured of each
  const Executor& exact;  // makes the scores
  const ScoreBound& bound;
  // Which outputs of `near` are the sums, the measures of each layer, and those of gates if any.
  std::vector<std::size_t> outputs;
  // The inputs that hold the candidates, the only ones with one row for each.
  std::size_t near_rows;
  std::size_t exact_rows;
  bool sigmoid;        // of a sum, which a score is
  std::size_t k;       // not more than the candidates
  std::size_t likely;  // so many are scored first, those with the largest sums; k or more
  std::size_t most;    // no more than so many are scored
};

struct ScreenedBest {
  std::vector<Winner> winners;  // k, as RequestBest gives them
  std::size_t refined = 0;      // how many were scored
};

// The inputs are those of both executors, of one request, the rows as int64 next to each other.
// Nothing where too many would have to be scored.
std::optional<ScreenedBest> search_screened(const ScreenedSearch& search, Executor::Session& near,
                                            Executor::Session& exact);

}  // namespace pyrec
