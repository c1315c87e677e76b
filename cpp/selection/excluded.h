#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace pyrec {

// Rows that requests may not have: those of all requests, or of one each.
class ExcludedRows {
 public:
  // With `owners` empty, of all requests.
  ExcludedRows(std::span<const std::int64_t> rows, std::span<const std::int64_t> owners);

  bool has(std::size_t request, std::int64_t row) const;

 private:
  bool by_request_;
  std::vector<std::pair<std::int64_t, std::int64_t>> rows_;  // with the request of each; they rise
};

}  // namespace pyrec
