#include "sparse/sparse_matrix.h"

#include <algorithm>
#include <limits>

#include "core/error.h"

namespace pyrec {

SparseMatrix::SparseMatrix(std::span<const std::int64_t> bounds,
                           std::span<const std::int32_t> columns, std::span<const float> values,
                           std::size_t width)
    : bounds_(bounds.begin(), bounds.end()),
      columns_(columns.begin(), columns.end()),
      values_(values.begin(), values.end()),
      width_(width) {
  // Checked as copied: what was given may be changed meanwhile.
  const bool fits = !bounds_.empty() && bounds_.front() == 0 && std::ranges::is_sorted(bounds_) &&
                    static_cast<std::size_t>(bounds_.back()) == columns_.size() &&
                    columns_.size() == values_.size() &&
                    width <= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max());
  if (!fits) throw OpError(ErrorKind::kShape, "expected sparse rows whose parts fit together");
  const auto out = [&](std::int32_t column) {
    return column < 0 || static_cast<std::size_t>(column) >= width;
  };
  if (std::ranges::any_of(columns_, out)) {
    throw OpError(ErrorKind::kIdRange, "expected columns below the width");
  }
}

}  // namespace pyrec
