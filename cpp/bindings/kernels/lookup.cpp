#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bindings/kernels/operands.h"
#include "bindings/kernels/runners.h"

namespace pyrec {
namespace {

py::object run_lookup(const Call& call) {
  call.expect_arguments(2);
  const auto n = py::cast<std::size_t>(call.argument(1));
  const LookupOperands lookups(call, 0, n);
  py::array out =
      call.output<float>({static_cast<py::ssize_t>(n), static_cast<py::ssize_t>(lookups.width)});
  const std::size_t out_step = call.row_step(out);
  call.kernels.lookup_f32(lookups.parts.data(), lookups.parts.size(), n, mutable_data<float>(out),
                          out_step);
  return out;
}

// What sums of parts take: a bias, the parts, the number of rows, their width and an activation.
struct LookupSumOperands {
  explicit LookupSumOperands(const Call& call)
      : n(py::cast<std::size_t>(call.argument(2))),
        width(py::cast<std::size_t>(call.argument(3))),
        lookups(call, 1, n),
        bias(call.optional_rows<float>(0, static_cast<py::ssize_t>(n),
                                       static_cast<py::ssize_t>(width))),
        bias_step(bias && bias->ndim() == 2 ? call.row_step(*bias) : 0),
        activation(activation_of(call, py::cast<std::string>(call.argument(4)))) {
    for (const LookupPart& part : lookups.parts) {
      call.expect(part.width == width, "expected parts of one width");
    }
  }

  std::size_t n, width;
  LookupOperands lookups;
  std::optional<py::array> bias;
  std::size_t bias_step;
  Activation activation;
};

py::object run_lookup_sum(const Call& call) {
  call.expect_arguments(5);
  const LookupSumOperands sum(call);
  py::array out =
      call.output<float>({static_cast<py::ssize_t>(sum.n), static_cast<py::ssize_t>(sum.width)});
  const std::size_t out_step = call.row_step(out);
  call.kernels.lookup_sum_f32(data<float>(sum.bias), sum.bias_step, sum.lookups.parts.data(),
                              sum.lookups.parts.size(), sum.activation, sum.n, sum.width,
                              mutable_data<float>(out), out_step);
  return out;
}

py::object run_lookup_sum_bf16(const Call& call) {
  call.expect_arguments(6);
  const LookupSumOperands sum(call);
  call.expect(sum.activation <= Activation::kRelu, "unknown activation");
  const GivenOrder order(call, 5, sum.width);
  const auto step = static_cast<py::ssize_t>(rounded_row_size(sum.width));
  py::array rows = call.flat_output<std::uint16_t>({static_cast<py::ssize_t>(sum.n), step});
  call.kernels.lookup_sum_bf16(data<float>(sum.bias), sum.bias_step, sum.lookups.parts.data(),
                               sum.lookups.parts.size(), sum.activation == Activation::kRelu, sum.n,
                               sum.width, order.data_or_null(), mutable_data<std::uint16_t>(rows));
  return rows;
}

py::object run_lookup_sum_u8(const Call& call) {
  call.expect_arguments(6);
  const LookupSumOperands sum(call);
  call.expect(sum.activation <= Activation::kRelu, "unknown activation");
  const GivenOrder order(call, 5, sum.width);
  const auto step = static_cast<py::ssize_t>(quantized_row_size(sum.width));
  py::array rows = call.flat_output<std::uint8_t>({static_cast<py::ssize_t>(sum.n), step});
  std::vector<float> scratch(sum.width * kSummedRows);
  call.kernels.lookup_sum_u8(data<float>(sum.bias), sum.bias_step, sum.lookups.parts.data(),
                             sum.lookups.parts.size(), sum.activation == Activation::kRelu, sum.n,
                             sum.width, order.data_or_null(), scratch.data(),
                             reinterpret_cast<std::byte*>(mutable_data<std::uint8_t>(rows)));
  return rows;
}

Runner runner(LookupF32 Kernels::*) { return run_lookup; }
Runner runner(LookupSumF32 Kernels::*) { return run_lookup_sum; }
Runner runner(LookupSumBf16 Kernels::*) { return run_lookup_sum_bf16; }
Runner runner(LookupSumU8 Kernels::*) { return run_lookup_sum_u8; }

}  // namespace

void add_lookup_runners(Runners& runners) {
  PYREC_KERNELS_lookup(PYREC_ADD_RUNNER, PYREC_NO_RUNNER)
}

}  // namespace pyrec
