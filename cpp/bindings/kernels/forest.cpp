#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "bindings/kernels/call.h"
#include "bindings/kernels/runners.h"
#include "trees/places.h"

namespace pyrec {
namespace {

// Columns, limits and kept bits of the first three arguments [n].
std::vector<LeafTest> tests_of(const Call& call, std::size_t all_columns) {
  const py::array columns = call.flat<std::uint16_t>(0, 1), limits = call.flat<std::int8_t>(1, 1);
  const py::array kept = call.flat<std::uint8_t>(2, 1);
  const std::size_t n = size_of(columns, 0);
  call.expect(size_of(limits, 0) == n && size_of(kept, 0) == n, "tests do not fit together");
  std::vector<LeafTest> tests;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint16_t column = data<std::uint16_t>(columns)[i];
    call.expect(column < all_columns, "a test of a column that does not exist");
    tests.push_back({column, data<std::int8_t>(limits)[i], data<std::uint8_t>(kept)[i]});
  }
  return tests;
}

// What f(ranks, rows, found) finds for ranks [columns, rows], which are put kForestRows apart.
template <class F>
py::object run_rows(const Call& call, const py::array& ranks, F f) {
  const std::size_t columns = size_of(ranks, 0), rows = size_of(ranks, 1);
  call.expect(rows <= kForestRows, "too many rows");
  std::vector<std::int8_t> apart(columns * kForestRows);
  for (std::size_t i = 0; i < columns; ++i) {
    std::copy_n(data<std::int8_t>(ranks) + i * rows, rows, apart.data() + i * kForestRows);
  }
  std::array<std::uint8_t, kForestRows> found;
  f(apart.data(), rows, found.data());
  py::array out = call.flat_output<std::uint8_t>({static_cast<py::ssize_t>(rows)});
  std::copy_n(found.data(), rows, mutable_data<std::uint8_t>(out));
  return out;
}

// Tests, how many there are for each eight leaves [planes], and ranks [columns, rows].
py::object run_leaves(const Call& call) {
  call.expect_arguments(5);
  const py::array counts = call.flat<std::uint16_t>(3, 1), ranks = call.flat<std::int8_t>(4, 2);
  const std::vector<LeafTest> tests = tests_of(call, size_of(ranks, 0));
  const std::size_t planes = size_of(counts, 0);
  call.expect(planes <= 32, "too many planes");
  std::size_t total = 0;
  for (std::size_t i = 0; i < planes; ++i) total += data<std::uint16_t>(counts)[i];
  call.expect(total == tests.size(), "counts do not add up");
  return run_rows(call, ranks, [&](const std::int8_t* from, std::size_t rows, std::uint8_t* found) {
    call.kernels.find_leaves_u8(tests.data(), data<std::uint16_t>(counts), planes, from, rows,
                                found);
  });
}

// Tests and ranks [columns, rows].
py::object run_answers(const Call& call) {
  call.expect_arguments(4);
  const py::array ranks = call.flat<std::int8_t>(3, 2);
  const std::vector<LeafTest> tests = tests_of(call, size_of(ranks, 0));
  return run_rows(call, ranks, [&](const std::int8_t* from, std::size_t rows, std::uint8_t* found) {
    call.kernels.find_answers_u8(tests.data(), tests.size(), from, rows, found);
  });
}

// Thresholds that rise [keys] and numbers [n], for the numbers of any place in a scale of them.
py::object run_places(const Call& call) {
  call.expect_arguments(3);
  const py::array keys = call.flat<float>(0, 1), x = call.flat<float>(1, 1);
  const py::array named = call.flat<std::uint16_t>(2, 1);
  call.expect(size_of(named, 0) == 2, "expected the first place and that of NaN");
  const std::uint16_t* places = data<std::uint16_t>(named);
  const std::size_t n = size_of(x, 0), count = size_of(keys, 0);
  call.expect(count + places[0] < 65536, "too many thresholds");
  const float* first = data<float>(keys);
  call.expect(std::is_sorted(first, first + count), "the thresholds do not rise");
  const PlaceLevels levels(std::vector<float>(first, first + count));
  py::array out = call.flat_output<std::uint16_t>({static_cast<py::ssize_t>(n)});
  call.kernels.find_places_f32(levels.tree(), data<float>(x), n, places[0], places[1],
                               mutable_data<std::uint16_t>(out));
  return out;
}

// Places [n], and the window's first and missing place, the rank of what is missing, and whether
// ranks are reversed [4].
py::object run_ranks(const Call& call) {
  call.expect_arguments(2);
  const py::array places = call.flat<std::uint16_t>(0, 1), window = call.flat<std::uint16_t>(1, 1);
  call.expect(size_of(window, 0) == 4, "expected what tells a window");
  const std::uint16_t* given = data<std::uint16_t>(window);
  call.expect(given[2] < 256, "expected a rank");
  const std::size_t n = size_of(places, 0);
  py::array out = call.flat_output<std::int8_t>({static_cast<py::ssize_t>(n)});
  call.kernels.rank_places_i8(
      {given[0], given[1], static_cast<std::uint8_t>(given[2]), given[3] != 0},
      data<std::uint16_t>(places), n, mutable_data<std::int8_t>(out));
  return out;
}

// Weights [count], leaves [n] and scores [n], to which the leaves' weights are added.
template <class T>
py::object run_votes(const Call& call, AddVotes<T> kernel) {
  call.expect_arguments(3);
  const py::array weights = call.flat<T>(0, 1), leaves = call.flat<std::uint8_t>(1, 1);
  const py::array scores = call.flat<T>(2, 1);
  const std::size_t count = size_of(weights, 0), rows = size_of(leaves, 0);
  call.expect(count <= kForestLeaves && rows <= kForestRows, "too many leaves or rows");
  call.expect(size_of(scores, 0) == rows, "expected a score for each row");
  std::array<T, kForestLeaves> all{};
  std::array<std::uint8_t, kForestRows> found{};
  std::array<T, kForestRows> sums{};
  std::copy_n(data<T>(weights), count, all.data());
  std::copy_n(data<std::uint8_t>(leaves), rows, found.data());
  std::copy_n(data<T>(scores), rows, sums.data());
  for (const std::uint8_t leaf : found)
    call.expect(leaf < std::max<std::size_t>(count, 1), "no leaf");
  kernel(all.data(), count, found.data(), rows, sums.data());
  py::array out = call.flat_output<T>({static_cast<py::ssize_t>(rows)});
  std::copy_n(sums.data(), rows, mutable_data<T>(out));
  return out;
}

template <class T>
Runner runner(AddVotes<T> Kernels::* kernel) {
  return [kernel](const Call& call) { return run_votes<T>(call, call.kernels.*kernel); };
}
Runner runner(FindPlacesF32 Kernels::*) { return run_places; }
Runner runner(RankPlacesI8 Kernels::*) { return run_ranks; }
Runner runner(FindLeavesU8 Kernels::*) { return run_leaves; }
Runner runner(FindAnswersU8 Kernels::*) { return run_answers; }

}  // namespace

void add_forest_runners(Runners& runners) {
  PYREC_KERNELS_forest(PYREC_ADD_RUNNER, PYREC_NO_RUNNER)
}

}  // namespace pyrec
