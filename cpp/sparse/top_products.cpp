#include "sparse/top_products.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "core/watch.h"
#include "selection/best.h"
#include "selection/entries.h"

namespace pyrec {

namespace {

// Rows that a thread takes at once.
constexpr std::size_t kRows = 16;

// One row of a product, and what it takes to choose its largest numbers.
class Accumulator {
 public:
  explicit Accumulator(std::size_t width) : sums_(width, kNone) {}

  void add(const SparseMatrix& matrix, std::span<const std::int32_t> columns,
           std::span<const float> values) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const auto row = static_cast<std::size_t>(columns[i]);
      const std::span<const std::int32_t> others = matrix.columns(row);
      const std::span<const float> factors = matrix.values(row);
      const double value = values[i];
      for (std::size_t j = 0; j < others.size(); ++j) add(others[j], value * factors[j]);
      work_ += others.size();
      if (work_ >= kWatchedElements) {
        Watch::check();
        work_ = 0;
      }
    }
  }

  void forget(std::span<const std::int32_t> columns) {
    for (const std::int32_t column : columns) sums_[static_cast<std::size_t>(column)] = kNone;
  }

  // Begins anew afterwards.
  std::vector<Entry> take(std::size_t row, std::size_t k, const ProductRules& rules) {
    Best best(k);
    std::size_t unsettled = 0;
    for (const std::int32_t column : touched_) {
      const auto at = static_cast<std::size_t>(column);
      const double sum = std::exchange(sums_[at], kNone);
      if (sum != sum || (!rules.allowed.empty() && rules.allowed[at] == 0)) continue;
      const double score = rules.row_sizes.empty()
                               ? sum
                               : sum / (rules.row_sizes[row] + rules.column_sizes[at] - sum);
      if (score != score) continue;
      best.add(static_cast<float>(score), static_cast<std::uint32_t>(column));
      if (++unsettled % kScoreBlock == 0) best.settle();
    }
    touched_.clear();
    std::vector<Entry> found = best.take();
    keep_first(found, k);
    std::sort(found.begin(), found.end(), std::greater<>{});
    return found;
  }

 private:
  // Sums of finite floats are never NaN in double precision.
  static constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

  void add(std::int32_t column, double product) {
    double& sum = sums_[static_cast<std::size_t>(column)];
    if (sum != sum) {
      touched_.push_back(column);
      sum = product;
    } else {
      sum += product;
    }
  }

  std::vector<double> sums_;
  std::vector<std::int32_t> touched_;
  std::size_t work_ = 0;
};

}  // namespace

void top_products(ThreadPool& pool, const SparseMatrix& rows, const SparseMatrix& matrix,
                  std::size_t k, const ProductRules& rules, std::int32_t* columns, float* scores,
                  std::int64_t* counts) {
  std::vector<std::unique_ptr<Accumulator>> accumulators(pool.threads());
  const std::size_t parts = (rows.rows() + kRows - 1) / kRows;
  pool.run(parts, [&](std::size_t part, std::size_t worker) {
    Watch::check();
    std::unique_ptr<Accumulator>& own = accumulators[worker];
    if (!own) own = std::make_unique<Accumulator>(matrix.width());
    const std::size_t end = std::min((part + 1) * kRows, rows.rows());
    for (std::size_t row = part * kRows; row < end; ++row) {
      own->add(matrix, rows.columns(row), rows.values(row));
      if (rules.without_own) own->forget(rows.columns(row));
      const std::vector<Entry> found = own->take(row, k, rules);
      counts[row] = static_cast<std::int64_t>(found.size());
      for (std::size_t i = 0; i < found.size(); ++i) {
        columns[row * k + i] = static_cast<std::int32_t>(row_of(found[i]));
        scores[row * k + i] = score_of(found[i]);
      }
    }
  });
}

}  // namespace pyrec
