#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "bindings/kernels/operands.h"
#include "bindings/kernels/runners.h"

namespace pyrec {
namespace {

// A float32 matrix as the rows that a kernel makes of it, in the order of a row that may be given.
template <class T, class Kernel>
py::object run_rows_to(Kernel kernel, std::size_t width, const Call& call) {
  call.expect_arguments(2);
  const py::array x = call.array<float>(0, 2);
  const GivenOrder order(call, 1, size_of(x, 1));
  py::array rows = call.flat_output<T>({x.shape(0), static_cast<py::ssize_t>(width)});
  kernel(data<float>(x), call.row_step(x), size_of(x, 0), size_of(x, 1), order.data_or_null(),
         mutable_data<T>(rows));
  return rows;
}

py::object run_quantize_rows(const Call& call) {
  const std::size_t width = quantized_row_size(size_of(call.array<float>(0, 2), 1));
  const auto kernel = [&](const float* x, std::size_t ldx, std::size_t m, std::size_t k,
                          const std::int32_t* order, std::uint8_t* rows) {
    call.kernels.quantize_rows_u8(x, ldx, m, k, order, reinterpret_cast<std::byte*>(rows));
  };
  return run_rows_to<std::uint8_t>(kernel, width, call);
}

// Rows of measure_rows_u8 as float32: their bytes, the scale, the zero point and the two measures.
py::object run_measure_rows(const Call& call) {
  const std::size_t step = quantized_row_size(size_of(call.array<float>(0, 2), 1));
  const std::size_t size = step - kRowRecordTail;
  const auto kernel = [&](const float* x, std::size_t ldx, std::size_t m, std::size_t k,
                          const std::int32_t* order, float* made) {
    std::vector<std::byte> rows(m * step);
    call.kernels.measure_rows_u8(x, ldx, m, k, order, rows.data());
    for (std::size_t i = 0; i < m; ++i, made += size + 4) {
      const std::byte* row = rows.data() + i * step;
      for (std::size_t j = 0; j < size; ++j)
        made[j] = static_cast<float>(std::to_integer<int>(row[j]));
      std::int32_t zero_point;
      std::memcpy(made + size, row + size, sizeof *made);
      std::memcpy(&zero_point, row + size + sizeof *made, sizeof zero_point);
      made[size + 1] = static_cast<float>(zero_point);
      std::memcpy(made + size + 2, row + size + kMeasuredInTail, 2 * sizeof *made);
    }
  };
  return run_rows_to<float>(kernel, size + 4, call);
}

py::object run_round_rows(const Call& call) {
  const std::size_t width = rounded_row_size(size_of(call.array<float>(0, 2), 1));
  return run_rows_to<std::uint16_t>(call.kernels.round_rows_bf16, width, call);
}

// What the products of lower precision take; the last argument may be a row in whose order they
// multiply.
struct NarrowOperands {
  explicit NarrowOperands(const Call& call)
      : a(call.array<float>(0, 2)),
        b(call.flat<float>(1, 2)),
        m(size_of(a, 0)),
        k(size_of(a, 1)),
        n(size_of(b, 1)),
        bias(call.optional_rows<float>(2, a.shape(0), b.shape(1))),
        bias_step(bias && bias->ndim() == 2 ? call.row_step(*bias) : 0),
        order(call, 4, k),
        c(call.output<float>({a.shape(0), b.shape(1)})) {
    call.expect_arguments(5);
    call.expect(size_of(b, 0) == k, "the inner sizes differ");
    const Activation activation = activation_of(call, py::cast<std::string>(call.argument(3)));
    call.expect(activation <= Activation::kRelu, "unknown activation");
    relu = activation == Activation::kRelu;
  }

  // Packs b.
  std::vector<std::byte> packed(PackedBytes size, PackBytes pack, ReorderBytes reorder) const {
    std::vector<std::byte> made(size(k, n));
    pack(data<float>(b), k, n, n, 1, made.data());
    if (!order.row) return made;
    std::vector<std::byte> reordered(made.size());
    reorder(made.data(), order.data_or_null(), k, n, reordered.data());
    return reordered;
  }

  py::array a, b;
  std::size_t m, k, n;
  std::optional<py::array> bias;
  std::size_t bias_step;
  GivenOrder order;
  py::array c;
  bool relu = false;
};

Runner gemm_u8s8_runner(PackBytes Kernels::* pack, GemmU8S8 Kernels::* gemm) {
  return [=](const Call& call) -> py::object {
    NarrowOperands with(call);
    const Kernels& kernels = call.kernels;
    const auto packed = with.packed(kernels.packed_size_s8, kernels.*pack, kernels.reorder_s8);
    std::vector<std::byte> rows(with.m * quantized_row_size(with.k));
    kernels.quantize_rows_u8(data<float>(with.a), call.row_step(with.a), with.m, with.k,
                             with.order.data_or_null(), rows.data());
    (kernels.*gemm)(rows.data(), packed.data(), data<float>(with.bias), with.bias_step, with.relu,
                    mutable_data<float>(with.c), call.row_step(with.c), with.m, with.n, with.k,
                    nullptr);
    return with.c;
  };
}

Runner gemm_bf16_runner(PackBytes Kernels::* pack, GemmBf16 Kernels::* gemm) {
  return [=](const Call& call) -> py::object {
    NarrowOperands with(call);
    const Kernels& kernels = call.kernels;
    const auto packed = with.packed(kernels.packed_size_bf16, kernels.*pack, kernels.reorder_bf16);
    std::vector<std::uint16_t> rows(with.m * rounded_row_size(with.k));
    kernels.round_rows_bf16(data<float>(with.a), call.row_step(with.a), with.m, with.k,
                            with.order.data_or_null(), rows.data());
    (kernels.*gemm)(rows.data(), packed.data(), data<float>(with.bias), with.bias_step, with.relu,
                    mutable_data<float>(with.c), call.row_step(with.c), with.m, with.n, with.k,
                    nullptr);
    return with.c;
  };
}

Runner runner(QuantizeRowsU8 Kernels::* field) {
  return field == &Kernels::measure_rows_u8 ? run_measure_rows : run_quantize_rows;
}
Runner runner(RoundRowsBf16 Kernels::*) { return run_round_rows; }
Runner runner(GemmU8S8 Kernels::* field) {
  const bool sparse = field == &Kernels::gemm_sparse_u8s8;
  return gemm_u8s8_runner(sparse ? &Kernels::pack_sparse_s8 : &Kernels::pack_s8, field);
}
Runner runner(GemmBf16 Kernels::* field) {
  const bool sparse = field == &Kernels::gemm_sparse_bf16;
  return gemm_bf16_runner(sparse ? &Kernels::pack_sparse_bf16 : &Kernels::pack_bf16, field);
}

}  // namespace

void add_quantized_runners(Runners& runners) {
  PYREC_KERNELS_quantized(PYREC_ADD_RUNNER, PYREC_NO_RUNNER)
}

}  // namespace pyrec
