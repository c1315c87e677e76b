#include "bindings/kernels/call.h"
#include "bindings/kernels/runners.h"

namespace pyrec {
namespace {

py::object run_rows(RowsF32 kernel, const Call& call) {
  call.expect_arguments(1);
  const py::array x = call.flat<float>(0, 2);
  py::array y = call.flat_output<float>(shape_of(x));
  kernel(data<float>(x), mutable_data<float>(y), size_of(x, 0), size_of(x, 1));
  return y;
}

py::object run_layer_normalization(const Call& call) {
  call.expect_arguments(4);
  const py::array x = call.flat<float>(0, 2);
  const auto gamma = call.optional_vector<float>(1, x.shape(1));
  const auto beta = call.optional_vector<float>(2, x.shape(1));
  py::array y = call.flat_output<float>(shape_of(x));
  call.kernels.layer_normalization_f32(data<float>(x), data<float>(gamma), data<float>(beta),
                                       py::cast<float>(call.argument(3)), mutable_data<float>(y),
                                       size_of(x, 0), size_of(x, 1));
  return y;
}

Runner runner(RowsF32 Kernels::* kernel) {
  return [=](const Call& call) { return run_rows(call.kernels.*kernel, call); };
}
Runner runner(LayerNormalizationF32 Kernels::*) { return run_layer_normalization; }

}  // namespace

void add_rows_runners(Runners& runners) { PYREC_KERNELS_rows(PYREC_ADD_RUNNER, PYREC_NO_RUNNER) }

}  // namespace pyrec
