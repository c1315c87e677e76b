#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bindings/kernels/call.h"
#include "bindings/kernels/runners.h"

namespace pyrec {
namespace {

// A matrix of marks, 0 or 1, kScreenItems in a row.
py::object shown(const Call& call, const std::vector<std::uint64_t>& marks) {
  py::array out = call.flat_output<std::uint8_t>(
      {static_cast<py::ssize_t>(marks.size()), static_cast<py::ssize_t>(kScreenItems)});
  auto* bits = mutable_data<std::uint8_t>(out);
  for (const std::uint64_t found : marks) {
    for (std::size_t i = 0; i < kScreenItems; ++i) *bits++ = found >> i & 1;
  }
  return out;
}

// queries [m, d], scales [m], least [m]; codes [kScreenItems, d], start, scale and bias of each.
// `axes` (0 or 1) come before those of all but queries and scales.
struct Codes {
  Codes(const Call& call, int axes)
      : queries(call.flat<std::uint8_t>(0, 2)),
        scales(call.flat<float>(1, 1)),
        least(call.flat<float>(2, 1 + axes)),
        codes(call.flat<std::int8_t>(3, 2 + axes)),
        start(call.flat<std::int32_t>(4, 1 + axes)),
        scale(call.flat<float>(5, 1 + axes)),
        bias(call.flat<float>(6, 1 + axes)),
        m(size_of(queries, 0)),
        d(size_of(queries, 1)) {
    call.expect_arguments(7);
    call.expect(size_of(scales, 0) == m && size_of(least, axes) == m &&
                    size_of(codes, 1 + axes) == d && d % 8 == 0 && start.size() == bias.size() &&
                    scale.size() == bias.size(),
                "sizes differ");
  }

  py::array queries, scales, least, codes, start, scale, bias;
  std::size_t m, d;
};

// Codes of kScreenItems vectors of d numbers, packed.
std::vector<float> packed_codes(const Call& call, const std::int8_t* codes, std::size_t d) {
  std::vector<float> numbers(kScreenItems * d / 4);
  if (d > 0) std::memcpy(numbers.data(), codes, kScreenItems * d);
  std::vector<float> packed(call.kernels.packed_size_f32(d / 4, kScreenItems));
  call.kernels.pack_f32(numbers.data(), d / 4, kScreenItems, 1, d / 4, packed.data());
  return packed;
}

py::object run_screen(const Call& call) {
  const Codes given(call, 0);
  const std::size_t m = given.m, d = given.d;
  call.expect(size_of(given.codes, 0) == kScreenItems && size_of(given.bias, 0) == kScreenItems,
              "sizes differ");
  const std::vector<float> packed = packed_codes(call, data<std::int8_t>(given.codes), d);
  const ScreenBlock block{packed.data(), data<std::int32_t>(given.start), data<float>(given.scale),
                          data<float>(given.bias)};
  std::vector<std::uint64_t> marks(m);
  call.kernels.screen_s7(data<std::uint8_t>(given.queries), data<float>(given.scales),
                         data<float>(given.least), m, block, d, marks.data());
  return shown(call, marks);
}

// Blocks of rows [blocks, kScreenItems, d], their biases and what their scores have to reach
// [blocks, m].
std::vector<ScreenRows> read_blocks(const Call& call, const py::array& rows, const py::array& bias,
                                    const py::array& least, std::vector<std::uint64_t>& marks) {
  const std::size_t count = size_of(rows, 0), m = size_of(least, 1);
  call.expect(count <= kScreenStreams && size_of(rows, 1) == kScreenItems &&
                  size_of(least, 0) == count && size_of(bias, 0) == count &&
                  size_of(bias, 1) == kScreenItems,
              "sizes differ");
  const std::size_t step = size_of(rows, 2) * static_cast<std::size_t>(rows.itemsize());
  marks.assign(count * m, ~std::uint64_t{0});
  std::vector<ScreenRows> blocks(count);
  for (std::size_t i = 0; i < count; ++i) {
    blocks[i].rows = static_cast<const std::byte*>(rows.data()) + i * kScreenItems * step;
    blocks[i].step = step;
    blocks[i].bias = data<float>(bias) + i * kScreenItems;
    blocks[i].least = data<float>(least) + i * m;
    blocks[i].marks = marks.data() + i * m;
  }
  return blocks;
}

// The same of blocks of codes, each with what its scores have to reach.
py::object run_screen_codes(const Call& call) {
  const Codes given(call, 1);
  std::vector<std::uint64_t> marks;
  std::vector<ScreenRows> blocks = read_blocks(call, given.codes, given.bias, given.least, marks);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    blocks[i].start = data<std::int32_t>(given.start) + i * kScreenItems;
    blocks[i].scale = data<float>(given.scale) + i * kScreenItems;
  }
  call.kernels.screen_rows_s7(data<std::uint8_t>(given.queries), data<float>(given.scales), given.m,
                              blocks.data(), blocks.size(), given.d);
  return shown(call, marks);
}

// queries [m, d], scales [m]; codes [blocks, kScreenItems, d], start, scale and bias of each.
struct ScoredCodes {
  explicit ScoredCodes(const Call& call)
      : queries(call.flat<std::uint8_t>(0, 2)),
        scales(call.flat<float>(1, 1)),
        codes(call.flat<std::int8_t>(2, 3)),
        start(call.flat<std::int32_t>(3, 2)),
        scale(call.flat<float>(4, 2)),
        bias(call.flat<float>(5, 2)),
        m(size_of(queries, 0)),
        d(size_of(queries, 1)),
        count(size_of(codes, 0)) {
    call.expect_arguments(6);
    const auto of_items = [this](const py::array& x) {
      return size_of(x, 0) == count && size_of(x, 1) == kScreenItems;
    };
    call.expect(size_of(scales, 0) == m && size_of(codes, 2) == d && d % 8 == 0 &&
                    size_of(codes, 1) == kScreenItems && count <= kScreenStreams &&
                    of_items(start) && of_items(scale) && of_items(bias),
                "sizes differ");
  }

  py::array queries, scales, codes, start, scale, bias;
  std::size_t m, d, count;
};

py::object run_score_codes(const Call& call) {
  const ScoredCodes given(call);
  py::array out = call.flat_output<float>({static_cast<py::ssize_t>(given.count),
                                           static_cast<py::ssize_t>(given.m),
                                           static_cast<py::ssize_t>(kScreenItems)});
  std::vector<ScoreRows> blocks(given.count);
  for (std::size_t i = 0; i < given.count; ++i) {
    const std::size_t first = i * kScreenItems;
    blocks[i] = {static_cast<const std::byte*>(given.codes.data()) + first * given.d,
                 given.d,
                 data<std::int32_t>(given.start) + first,
                 data<float>(given.scale) + first,
                 data<float>(given.bias) + first,
                 mutable_data<float>(out) + first * given.m};
  }
  call.kernels.score_rows_s7(data<std::uint8_t>(given.queries), data<float>(given.scales), given.m,
                             blocks.data(), given.count, given.d);
  return out;
}

// The scores of a query with all blocks side by side.
py::object run_score(const Call& call) {
  const ScoredCodes given(call);
  const std::size_t step = given.count * kScreenItems;
  py::array out =
      call.flat_output<float>({static_cast<py::ssize_t>(given.m), static_cast<py::ssize_t>(step)});
  for (std::size_t first = 0; first < step; first += kScreenItems) {
    const std::vector<float> packed =
        packed_codes(call, data<std::int8_t>(given.codes) + first * given.d, given.d);
    const ScreenBlock block{packed.data(), data<std::int32_t>(given.start) + first,
                            data<float>(given.scale) + first, data<float>(given.bias) + first};
    call.kernels.score_s7(data<std::uint8_t>(given.queries), data<float>(given.scales), given.m,
                          block, given.d, mutable_data<float>(out) + first, step);
  }
  return out;
}

// queries [m, d], starts, scales and sizes [m], least [blocks, m]; codes [blocks, d / 8,
// 4 * kScreenItems], details and bias [blocks, kScreenItems].
py::object run_screen_panels(const Call& call) {
  call.expect_arguments(8);
  const py::array queries = call.flat<std::int8_t>(0, 2), starts = call.flat<std::int32_t>(1, 1),
                  scales = call.flat<float>(2, 1), sizes = call.flat<float>(3, 1),
                  least = call.flat<float>(4, 2), codes = call.flat<std::uint8_t>(5, 3),
                  details = call.flat<std::int32_t>(6, 2), bias = call.flat<float>(7, 2);
  const std::size_t m = size_of(queries, 0), d = size_of(queries, 1), count = size_of(codes, 0);
  call.expect(size_of(starts, 0) == m && size_of(scales, 0) == m && size_of(sizes, 0) == m &&
                  size_of(least, 0) == count && size_of(least, 1) == m && d % 16 == 0 &&
                  size_of(codes, 1) == d / 8 && size_of(codes, 2) == 4 * kScreenItems &&
                  size_of(details, 0) == count && size_of(details, 1) == kScreenItems &&
                  size_of(bias, 0) == count && size_of(bias, 1) == kScreenItems,
              "sizes differ");
  std::vector<std::uint64_t> marks(count * m, ~std::uint64_t{0});
  std::vector<ScreenPanels> blocks(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto* own = static_cast<const std::byte*>(codes.data()) + i * d / 2 * kScreenItems;
    const auto* known = reinterpret_cast<const std::uint32_t*>(data<std::int32_t>(details));
    blocks[i] = {own,
                 known + i * kScreenItems,
                 data<float>(bias) + i * kScreenItems,
                 data<float>(least) + i * m,
                 marks.data() + i * m,
                 own};
  }
  call.kernels.screen_u4(data<std::int8_t>(queries), data<std::int32_t>(starts),
                         data<float>(scales), data<float>(sizes), m, blocks.data(), count, d);
  return shown(call, marks);
}

// queries [m, d], least [blocks, m]; vectors [blocks, kScreenItems, d], bias of each.
py::object run_screen_vectors(const Call& call) {
  call.expect_arguments(4);
  const py::array queries = call.flat<float>(0, 2), least = call.flat<float>(1, 2),
                  vectors = call.flat<float>(2, 3), bias = call.flat<float>(3, 2);
  const std::size_t m = size_of(queries, 0), d = size_of(queries, 1);
  call.expect(size_of(least, 1) == m && size_of(vectors, 2) == d, "sizes differ");
  std::vector<std::uint64_t> marks;
  const std::vector<ScreenRows> blocks = read_blocks(call, vectors, bias, least, marks);
  call.kernels.screen_rows_f32(data<float>(queries), m, blocks.data(), blocks.size(), d);
  return shown(call, marks);
}

Runner runner(ScreenS7 Kernels::*) { return run_screen; }
Runner runner(ScoreS7 Kernels::*) { return run_score; }
Runner runner(ScreenRowsS7 Kernels::*) { return run_screen_codes; }
Runner runner(ScoreRowsS7 Kernels::*) { return run_score_codes; }
Runner runner(ScreenU4 Kernels::*) { return run_screen_panels; }
Runner runner(ScreenRowsF32 Kernels::*) { return run_screen_vectors; }

}  // namespace

void add_screen_runners(Runners& runners) {
  PYREC_KERNELS_screen(PYREC_ADD_RUNNER, PYREC_NO_RUNNER)
}

}  // namespace pyrec
