#pragma once

// What operators share that read rows of tables: their parts, and these with a call's row numbers.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "plan/op.h"
#include "plan/ops/dense.h"
#include "plan/ops/table_part.h"

namespace pyrec {

// A part of a lookup as its node describes it.
struct NodePart : TablePart {
  std::int64_t column;     // of a matrix of ids; -1: a vector
  LookupPart found{};      // in a constant table, but for the row numbers
  std::int64_t size = -1;  // rows of the constant table; -1: the table comes with the call
};

// The parts of a node whose first source is input `first`.
std::vector<NodePart> node_parts(const OpSpec& spec, std::size_t first);

// The tables, rows and widths of a call as the kernels take them.
class Lookups {
 public:
  // Throws StepError with the label of the part that is wrong, where it has one.
  Lookups(Context& context, const std::vector<NodePart>& parts,
          const std::vector<std::string>& labels, bool strict, std::span<const Value* const> in,
          std::size_t first);

  std::size_t rows() const { return unsigned_size(n_); }
  const LookupPart* data() const { return lookups_; }
  std::size_t size() const { return count_; }

 private:
  void require_rows(const Tensor& source) const;
  LookupPart numbers(const NodePart& part, const Tensor& source);
  LookupPart looked_up(const NodePart& part, const Tensor& source, const Tensor& given);
  LookupPart looked_up_of_own(const NodePart& part, const Tensor& source, const Tensor& tables);
  LookupPart looked_up_of_one(const NodePart& part, const Tensor& source, const Tensor& table);
  void announce(const Tensor& ids, const Tensor& records, std::size_t stride);
  const std::int64_t* rows_of(std::int64_t column, const Tensor& source, std::int64_t size);
  bool one_row_of(const Tensor& source, std::int64_t offset, std::int64_t size);

  Context& context_;
  std::size_t count_;
  bool strict_;
  std::int64_t n_ = 0;
  BufferRef scratch_;
  LookupPart* lookups_ = nullptr;
  std::int64_t* next_ = nullptr;
  std::vector<Tensor> kept_;        // what parts point to that had to be copied
  const Tensor* source_ = nullptr;  // of the last row numbers, their column and their table's rows
  std::int64_t column_ = -1;
  std::int64_t size_ = -1;
};

}  // namespace pyrec
