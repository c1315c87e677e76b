#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pyrec {

// A matrix by rows, of which most numbers are zero; its parts fit together.
class SparseMatrix {
 public:
  // Copies the parts. Throws OpError(kShape) where bounds fall, do not begin with 0 or do not end
  // with the values, or OpError(kIdRange) where a column is not below the width.
  SparseMatrix(std::span<const std::int64_t> bounds, std::span<const std::int32_t> columns,
               std::span<const float> values, std::size_t width);

  std::size_t rows() const { return bounds_.size() - 1; }
  std::size_t width() const { return width_; }
  std::span<const std::int32_t> columns(std::size_t row) const {
    return std::span(columns_).subspan(begin(row), begin(row + 1) - begin(row));
  }
  std::span<const float> values(std::size_t row) const {
    return std::span(values_).subspan(begin(row), begin(row + 1) - begin(row));
  }

 private:
  std::size_t begin(std::size_t row) const { return static_cast<std::size_t>(bounds_[row]); }

  std::vector<std::int64_t> bounds_;
  std::vector<std::int32_t> columns_;
  std::vector<float> values_;
  std::size_t width_;
};

}  // namespace pyrec
