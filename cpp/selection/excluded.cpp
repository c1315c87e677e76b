#include "selection/excluded.h"

#include <algorithm>

namespace pyrec {

ExcludedRows::ExcludedRows(std::span<const std::int64_t> rows, std::span<const std::int64_t> owners)
    : by_request_(!owners.empty()) {
  rows_.reserve(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows_.emplace_back(by_request_ ? owners[i] : 0, rows[i]);
  }
  std::ranges::sort(rows_);
}

bool ExcludedRows::has(std::size_t request, std::int64_t row) const {
  const std::int64_t owner = by_request_ ? static_cast<std::int64_t>(request) : 0;
  return std::ranges::binary_search(rows_, std::pair(owner, row));
}

}  // namespace pyrec
