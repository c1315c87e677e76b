#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "bindings/kernels/call.h"
#include "bindings/kernels/runners.h"

namespace pyrec {
namespace {

// columns, limits and kept leaves of the tests [n], how many there are for each eight leaves
// [planes], and ranks [columns, rows].
py::object run_forest(const Call& call) {
  call.expect_arguments(5);
  const py::array columns = call.flat<std::uint16_t>(0, 1), limits = call.flat<std::int8_t>(1, 1);
  const py::array kept = call.flat<std::uint8_t>(2, 1), counts = call.flat<std::uint16_t>(3, 1);
  const py::array ranks = call.flat<std::int8_t>(4, 2);
  const std::size_t n = size_of(columns, 0), planes = size_of(counts, 0);
  call.expect(size_of(limits, 0) == n && size_of(kept, 0) == n, "tests do not fit together");
  const std::size_t rows = size_of(ranks, 1);
  call.expect(rows <= kForestRows && planes <= 32, "too many rows or planes");
  std::vector<LeafTest> tests;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint16_t column = data<std::uint16_t>(columns)[i];
    call.expect(column < size_of(ranks, 0), "a test of a column that does not exist");
    tests.push_back({column, data<std::int8_t>(limits)[i], data<std::uint8_t>(kept)[i]});
  }
  std::size_t total = 0;
  for (std::size_t i = 0; i < planes; ++i) total += data<std::uint16_t>(counts)[i];
  call.expect(total == n, "counts do not add up");
  std::vector<std::int8_t> apart(size_of(ranks, 0) * kForestRows);
  for (std::size_t i = 0; i < size_of(ranks, 0); ++i) {
    std::copy_n(data<std::int8_t>(ranks) + i * rows, rows, apart.data() + i * kForestRows);
  }
  std::array<std::uint8_t, kForestRows> leaves;
  call.kernels.find_leaves_u8(tests.data(), data<std::uint16_t>(counts), planes, apart.data(), rows,
                              leaves.data());
  py::array out = call.flat_output<std::uint8_t>({static_cast<py::ssize_t>(rows)});
  std::copy_n(leaves.data(), rows, mutable_data<std::uint8_t>(out));
  return out;
}

Runner runner(FindLeavesU8 Kernels::*) { return run_forest; }

}  // namespace

void add_forest_runners(Runners& runners) {
  PYREC_KERNELS_forest(PYREC_ADD_RUNNER, PYREC_NO_RUNNER)
}

}  // namespace pyrec
