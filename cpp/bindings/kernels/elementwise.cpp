#include <cstddef>

#include "bindings/kernels/call.h"
#include "bindings/kernels/runners.h"

namespace pyrec {
namespace {

// Operands of one element are repeated.
py::object run_binary(BinaryF32 kernel, const Call& call) {
  call.expect_arguments(2);
  const py::array a = call.flat<float>(0, 1);
  const py::array b = call.flat<float>(1, 1);
  const py::ssize_t n = a.size() == 1 ? b.size() : a.size();
  call.expect(b.size() == n || b.size() == 1, "sizes differ");
  py::array y = call.flat_output<float>({n});
  kernel(data<float>(a), a.size() == 1 ? 0 : 1, data<float>(b), b.size() == 1 ? 0 : 1,
         mutable_data<float>(y), static_cast<std::size_t>(n));
  return y;
}

py::object run_multiply_add(const Call& call) {
  call.expect_arguments(3);
  const py::array a = call.flat<float>(0, 1), b = call.flat<float>(1, 1),
                  c = call.flat<float>(2, 1);
  const py::ssize_t n = a.size() == 1 ? (b.size() == 1 ? c.size() : b.size()) : a.size();
  const auto step = [&](const py::array& x) -> std::size_t {
    call.expect(x.size() == n || x.size() == 1, "sizes differ");
    return x.size() == 1 ? 0 : 1;
  };
  py::array y = call.flat_output<float>({n});
  call.kernels.multiply_add_f32(data<float>(a), step(a), data<float>(b), step(b), data<float>(c),
                                step(c), mutable_data<float>(y), static_cast<std::size_t>(n));
  return y;
}

Runner runner(UnaryF32 Kernels::* kernel) {
  return [=](const Call& call) { return run_map(call.kernels.*kernel, call); };
}
Runner runner(BinaryF32 Kernels::* kernel) {
  return [=](const Call& call) { return run_binary(call.kernels.*kernel, call); };
}
Runner runner(MultiplyAddF32 Kernels::*) { return run_multiply_add; }

}  // namespace

void add_elementwise_runners(Runners& runners) {
  PYREC_KERNELS_elementwise(PYREC_ADD_RUNNER, PYREC_NO_RUNNER)
}

}  // namespace pyrec
