#include <vector>

#include "bindings/kernels/call.h"
#include "bindings/kernels/runners.h"

namespace pyrec {
namespace {

py::object run_reduce(ReduceF32 kernel, bool takes_empty, const Call& call) {
  call.expect_arguments(1);
  const py::array x = call.flat<float>(0);
  call.expect(takes_empty || x.size() > 0, "no elements");
  py::array_t<float> y(std::vector<py::ssize_t>{});
  *y.mutable_data() = kernel(data<float>(x), size_of(x));
  return y;
}

Runner runner(ReduceF32 Kernels::* kernel) {
  const bool takes_empty = kernel != &Kernels::max_f32 && kernel != &Kernels::min_f32;
  return [=](const Call& call) { return run_reduce(call.kernels.*kernel, takes_empty, call); };
}

}  // namespace

void add_reduce_runners(Runners& runners) {
  PYREC_KERNELS_reduce(PYREC_ADD_RUNNER, PYREC_NO_RUNNER)
}

}  // namespace pyrec
