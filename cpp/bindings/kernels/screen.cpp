#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bindings/kernels/call.h"
#include "bindings/kernels/runners.h"

namespace pyrec {
namespace {

// queries [m, d], scales [m], least [m]; codes [kScreenItems, d], start, scale and bias of each.
// Gives a matrix of marks, 0 or 1.
py::object run_screen(const Call& call) {
  call.expect_arguments(7);
  const py::array queries = call.flat<std::uint8_t>(0, 2), scales = call.flat<float>(1, 1),
                  least = call.flat<float>(2, 1), codes = call.flat<std::int8_t>(3, 2),
                  start = call.flat<std::int32_t>(4, 1), scale = call.flat<float>(5, 1),
                  bias = call.flat<float>(6, 1);
  const std::size_t m = size_of(queries, 0), d = size_of(queries, 1);
  const auto is_block = [](const py::array& x) { return size_of(x, 0) == kScreenItems; };
  call.expect(size_of(scales, 0) == m && size_of(least, 0) == m && size_of(codes, 1) == d &&
                  d % 8 == 0 && is_block(codes) && is_block(start) && is_block(scale) &&
                  is_block(bias),
              "sizes differ");
  std::vector<float> numbers(kScreenItems * d / 4);
  if (d > 0) std::memcpy(numbers.data(), data<std::int8_t>(codes), kScreenItems * d);
  std::vector<float> packed(call.kernels.packed_size_f32(d / 4, kScreenItems));
  call.kernels.pack_f32(numbers.data(), d / 4, kScreenItems, 1, d / 4, packed.data());
  const ScreenBlock block{packed.data(), data<std::int32_t>(start), data<float>(scale),
                          data<float>(bias)};
  std::vector<std::uint64_t> marks(m);
  call.kernels.screen_s7(data<std::uint8_t>(queries), data<float>(scales), data<float>(least), m,
                         block, d, marks.data());
  py::array out = call.flat_output<std::uint8_t>(
      {static_cast<py::ssize_t>(m), static_cast<py::ssize_t>(kScreenItems)});
  auto* bits = mutable_data<std::uint8_t>(out);
  for (const std::uint64_t found : marks) {
    for (std::size_t i = 0; i < kScreenItems; ++i) *bits++ = found >> i & 1;
  }
  return out;
}

Runner runner(ScreenS7 Kernels::*) { return run_screen; }

}  // namespace

void add_screen_runners(Runners& runners) {
  PYREC_KERNELS_screen(PYREC_ADD_RUNNER, PYREC_NO_RUNNER)
}

}  // namespace pyrec
