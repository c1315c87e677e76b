#include <cstddef>
#include <cstdint>
#include <vector>

#include "bindings/kernels/call.h"
#include "bindings/kernels/runners.h"

namespace pyrec {
namespace {

// a [n or 1, p, d] and b [n or 1, q, d]; left and right are numbers of vectors.
py::object run_pair_dots(const Call& call) {
  call.expect_arguments(4);
  const py::array a = call.flat<float>(0, 3), b = call.flat<float>(1, 3);
  const py::array left = call.flat<std::int64_t>(2, 1), right = call.flat<std::int64_t>(3, 1);
  const py::ssize_t n = a.shape(0) == 1 ? b.shape(0) : a.shape(0);
  call.expect((b.shape(0) == n || b.shape(0) == 1) && a.shape(2) == b.shape(2) &&
                  left.size() == right.size(),
              "sizes differ");
  const auto offsets = [&](const py::array& chosen, const py::array& vectors) {
    std::vector<std::int64_t> result(data<std::int64_t>(chosen),
                                     data<std::int64_t>(chosen) + chosen.size());
    for (std::int64_t& number : result) {
      call.expect(number >= 0 && number < vectors.shape(1), "no such vector");
      number *= vectors.shape(2);
    }
    return result;
  };
  const std::vector<std::int64_t> lefts = offsets(left, a), rights = offsets(right, b);
  const auto step = [&](const py::array& x) {
    return x.shape(0) == 1 ? 0 : size_of(x, 1) * size_of(x, 2);
  };
  py::array out = call.flat_output<float>({n, left.size()});
  call.kernels.pair_dots_f32(data<float>(a), step(a), data<float>(b), step(b), lefts.data(),
                             rights.data(), lefts.size(), size_of(a, 2),
                             static_cast<std::size_t>(n), mutable_data<float>(out));
  return out;
}

Runner runner(PairDotsF32 Kernels::*) { return run_pair_dots; }

}  // namespace

void add_pair_dots_runners(Runners& runners) {
  PYREC_KERNELS_pair_dots(PYREC_ADD_RUNNER, PYREC_NO_RUNNER)
}

}  // namespace pyrec
