#pragma once

// Operands that kernels of several families take.

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <vector>

#include "bindings/kernels/call.h"

namespace pyrec {

void expect_rows(const Call& call, const py::array& rows, const py::array& table);

// The parts of a lookup: tuples of a table (a matrix of float32 or bytes), the first byte to read
// of each row, row numbers or None, a width and a codec. Every part gives `n` rows.
struct LookupOperands {
  LookupOperands(const Call& call, std::size_t index, std::size_t n);

  std::list<py::args> args;
  std::vector<LookupPart> parts;
  std::size_t width = 0;
  std::size_t size = 0;  // rows of the last table
};

// The order that an optional argument, a row, gives to rows of k numbers.
struct GivenOrder {
  GivenOrder(const Call& call, std::size_t index, std::size_t k);
  const std::int32_t* data_or_null() const { return row ? order.data() : nullptr; }

  std::optional<py::array> row;
  std::vector<std::int32_t> order;
};

}  // namespace pyrec
