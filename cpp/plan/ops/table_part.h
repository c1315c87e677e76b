#pragma once

// The numbers that rows of a table of floats or of records hold, as kernels read them.

#include <cstdint>
#include <string>

#include "plan/op.h"

namespace pyrec {

// Some of the numbers of a row, as a node describes them.
struct TablePart {
  std::int64_t offset;  // bytes into a row
  std::int64_t width;
  Codec codec;

  // From the start of a row of a table of floats or of records.
  std::int64_t end(bool records) const;
};

// Of a node's attributes; empty for float32 numbers.
Codec codec_of(const std::string& name);

// Throws OpError(kModel) for an offset or a width that none can have.
void require_sizes(std::int64_t offset, std::int64_t width);

// Throws OpError where the table's rows do not hold the part.
void require_table(const TablePart& part, const Tensor& table);

// The part of a table with plain rows, but for the row numbers.
LookupPart part_of_table(const TablePart& part, const Tensor& table);

}  // namespace pyrec
