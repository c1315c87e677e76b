#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/thread_pool.h"
#include "sparse/sparse_matrix.h"

namespace pyrec {

// What of the products' columns is taken, and how they are compared.
struct ProductRules {
  bool without_own = false;               // not those that the row itself has
  std::span<const std::uint8_t> allowed;  // not those that are 0 here; empty: all
  // Of rows and of columns: a product p becomes p / (row + column - p). Empty: it stays.
  std::span<const double> row_sizes;
  std::span<const double> column_sizes;
};

// The k largest of each row of a product of two matrices, largest first, equal ones by column; of
// those columns alone that a row and the matrix have something in common at. A number of the
// product is a sum in double precision in the order of the row, rounded once. Columns and scores
// have room for k in each row; what is beyond a row's count is not written.
void top_products(ThreadPool& pool, const SparseMatrix& rows, const SparseMatrix& matrix,
                  std::size_t k, const ProductRules& rules, std::int32_t* columns, float* scores,
                  std::int64_t* counts);

}  // namespace pyrec
