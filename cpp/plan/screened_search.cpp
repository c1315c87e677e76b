#include "plan/screened_search.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <span>
#include <utility>

#include "core/error.h"
#include "plan/ops/narrow_rows.h"
#include "selection/entries.h"
#include "selection/top_k.h"

namespace pyrec {

namespace {

using Places = std::vector<std::int64_t>;

// What a near plan's session has made; its tensors live as long.
class NearSums {
 public:
  NearSums(const ScreenedSearch& search, Executor::Session& session, std::size_t count)
      : made_(session.run({})) {
    const ScoreBound& bound = search.bound;
    if (search.outputs.size() != 1 + bound.layers() + (bound.has_gates() ? 1 : 0)) {
      throw OpError(ErrorKind::kShape, "a bound that does not fit its plan");
    }
    items_.sums = {numbers(search, session, 0, count, 1).as<float>(), count};
    for (std::size_t layer = 1; layer <= bound.layers(); ++layer) {
      items_.layers.push_back(numbers(search, session, layer, count, 3).as<RowMeasures>());
    }
    if (bound.has_gates()) {
      items_.gates = numbers(search, session, bound.layers() + 1, count, 3).as<GateMeasures>();
    }
  }

  const ItemMeasures& items() const { return items_; }

 private:
  const Tensor& numbers(const ScreenedSearch& search, Executor::Session& session,
                        std::size_t number, std::size_t rows, std::size_t width) {
    const Tensor& given = made_[search.outputs[number]];
    if (given.dtype != DType::kFloat32 ||
        given.elements() != static_cast<std::int64_t>(rows * width)) {
      throw OpError(ErrorKind::kShape, "near sums without the measures of their bound");
    }
    return kept_.emplace_back(session.contiguous(given));
  }

  std::span<const Tensor> made_;
  std::vector<Tensor> kept_;
  ItemMeasures items_;
};

// The k best of the candidates at some places, by their scores.
std::vector<Winner> best_of(const ScreenedSearch& search, Executor::Session& exact,
                            const std::int64_t* rows, const Places& places) {
  std::vector<std::int64_t> chosen;
  chosen.reserve(places.size());
  for (const std::int64_t place : places) chosen.push_back(rows[place]);
  Tensor& given = exact.input(search.exact_rows);
  given.data = reinterpret_cast<std::byte*>(chosen.data());
  given.dtype = DType::kInt64;
  given.shape = {static_cast<std::int64_t>(chosen.size())};
  given.strides = {1};
  std::vector<std::vector<Winner>> winners;
  Selection selection;
  selection.k = search.k;
  selection.shared = true;
  exact.run_best({}, selection, winners);
  given.reset();
  for (Winner& winner : winners[0]) {
    winner.row = places[static_cast<std::size_t>(winner.row)];
  }
  return std::move(winners[0]);
}

// Leaves the k best of both.
void join(std::vector<Winner>& best, const std::vector<Winner>& others, std::size_t k) {
  const auto order = [](const Winner& winner) {
    return std::pair(~(entry_of(winner.score, 0) >> 32), winner.row);
  };
  best.insert(best.end(), others.begin(), others.end());
  std::ranges::sort(best, {}, order);
  best.resize(std::min(k, best.size()));
}

}  // namespace

std::optional<ScreenedBest> search_screened(const ScreenedSearch& search, Executor::Session& near,
                                            Executor::Session& exact) {
  const Tensor given = near.input(search.near_rows);
  if (given.rank() != 1 || given.dtype != DType::kInt64 || given.strides[0] != 1) {
    throw OpError(ErrorKind::kShape, "rows that do not lie next to each other");
  }
  const auto* rows = given.as<std::int64_t>();
  const auto count = static_cast<std::size_t>(given.shape[0]);
  Executor::Session again(search.exact);
  for (std::size_t i = 0; i < search.exact.given_count(); ++i) again.input(i) = exact.input(i);

  const NearSums sums(search, near, count);
  const auto likely_count = static_cast<std::int64_t>(search.likely);
  Places likely = top_k(available_kernels().front(), sums.items().sums, likely_count);
  std::ranges::sort(likely);
  ScreenedBest found{best_of(search, exact, rows, likely), likely.size()};
  // The least of all results is no less than that of any items.
  const double least = found.winners.size() < search.k
                           ? -std::numeric_limits<double>::infinity()
                           : least_sum(found.winners.back().score, search.sigmoid);
  // Rounded down.
  const float needed =
      std::nextafter(static_cast<float>(least), -std::numeric_limits<float>::infinity());
  Places reaching, others;
  search.bound.list_reaching(sums.items(), needed, reaching);
  std::ranges::set_difference(reaching, likely, std::back_inserter(others));
  found.refined += others.size();
  if (found.refined > search.most) return std::nullopt;
  if (!others.empty()) join(found.winners, best_of(search, again, rows, others), search.k);
  return found;
}

}  // namespace pyrec
