#include <cstdint>
#include <vector>

#include "bindings/kernels/call.h"
#include "bindings/kernels/runners.h"

namespace pyrec {
namespace {

// x [n] and a bound [1]. Gives n places, of which those beyond the found ones are -1.
py::object run_find(const Call& call) {
  call.expect_arguments(2);
  const py::array x = call.flat<float>(0, 1), below = call.flat<float>(1, 1);
  call.expect(size_of(below, 0) == 1, "expected one bound");
  const std::size_t n = size_of(x, 0);
  std::vector<std::uint32_t> places(n);
  const std::size_t count =
      call.kernels.find_above_f32(data<float>(x), n, *data<float>(below), places.data());
  py::array out = call.flat_output<std::int64_t>({static_cast<py::ssize_t>(n)});
  auto* found = mutable_data<std::int64_t>(out);
  for (std::size_t i = 0; i < n; ++i) found[i] = i < count ? std::int64_t{places[i]} : -1;
  return out;
}

Runner runner(FindAboveF32 Kernels::*) { return run_find; }

}  // namespace

void add_find_runners(Runners& runners) { PYREC_KERNELS_find(PYREC_ADD_RUNNER, PYREC_NO_RUNNER) }

}  // namespace pyrec
