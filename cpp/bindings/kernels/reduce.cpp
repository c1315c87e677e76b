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

py::object run_row_squares(const Call& call) {
  call.expect_arguments(2);
  const py::array x = call.array<float>(0, 2), factors = call.flat<float>(1, 1);
  call.expect(size_of(factors, 0) == size_of(x, 0), "sizes differ");
  py::array squares = call.flat_output<float>({x.shape(0), 2});
  call.kernels.row_squares_f32(data<float>(x), call.row_step(x), size_of(x, 0), size_of(x, 1),
                               data<float>(factors), mutable_data<float>(squares));
  return squares;
}

Runner runner(RowSquaresF32 Kernels::*) { return run_row_squares; }
Runner runner(ReduceF32 Kernels::* kernel) {
  const bool takes_empty = kernel != &Kernels::max_f32 && kernel != &Kernels::min_f32;
  return [=](const Call& call) { return run_reduce(call.kernels.*kernel, takes_empty, call); };
}

}  // namespace

void add_reduce_runners(Runners& runners) {
  PYREC_KERNELS_reduce(PYREC_ADD_RUNNER, PYREC_NO_RUNNER)
}

}  // namespace pyrec
