#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bindings/kernels/call.h"
#include "bindings/kernels/runners.h"

namespace pyrec {
namespace {

// Packs b, then multiplies.
py::object run_packed_gemm(const Call& call, PackedSizeF32 packed_size, PackF32 pack,
                           GemmF32 gemm) {
  call.expect_arguments(4);
  const py::array a = call.array<float>(0, 2);
  const py::array b = call.array<float>(1, 2);
  const std::size_t m = size_of(a, 0), k = size_of(a, 1), n = size_of(b, 1);
  call.expect(size_of(b, 0) == k, "the inner sizes differ");
  const py::ssize_t item = static_cast<py::ssize_t>(sizeof(float));
  call.expect(b.strides(0) % item == 0 && b.strides(0) >= 0 && b.strides(1) % item == 0 &&
                  b.strides(1) >= 0,
              "unusual strides");
  const auto bias = call.optional_rows<float>(2, a.shape(0), b.shape(1));
  const std::size_t bias_step = bias && bias->ndim() == 2 ? call.row_step(*bias) : 0;
  const Activation activation = activation_of(call, py::cast<std::string>(call.argument(3)));
  py::array c = call.output<float>({a.shape(0), b.shape(1)});
  const std::size_t lda = call.row_step(a), ldc = call.row_step(c);
  std::vector<float> packed(packed_size(k, n));
  pack(data<float>(b), k, n, static_cast<std::size_t>(b.strides(0) / item),
       static_cast<std::size_t>(b.strides(1) / item), packed.data());
  gemm(data<float>(a), lda, packed.data(), data<float>(bias), bias_step, activation,
       mutable_data<float>(c), ldc, m, n, k, nullptr);
  return c;
}

py::object run_gemm(const Call& call) {
  const Kernels& kernels = call.kernels;
  return run_packed_gemm(call, kernels.packed_size_f32, kernels.pack_f32, kernels.gemm_f32);
}

py::object run_gemm_sparse(const Call& call) {
  const Kernels& kernels = call.kernels;
  return run_packed_gemm(call, kernels.packed_size_sparse_f32, kernels.pack_sparse_f32,
                         kernels.gemm_sparse_f32);
}

py::object run_gemm_i16(const Call& call) {
  call.expect_arguments(2);
  const py::array a = call.flat<std::int16_t>(0, 2);
  const py::array b = call.flat<std::int16_t>(1, 2);
  const std::size_t m = size_of(a, 0), k = size_of(a, 1), n = size_of(b, 1);
  call.expect(size_of(b, 0) == k, "the inner sizes differ");
  py::array c = call.flat_output<std::int32_t>({a.shape(0), b.shape(1)});
  std::vector<std::int16_t> packed(call.kernels.packed_size_i16(k, n));
  call.kernels.pack_i16(data<std::int16_t>(b), k, n, packed.data());
  call.kernels.gemm_i16(data<std::int16_t>(a), packed.data(), mutable_data<std::int32_t>(c), m, n,
                        k);
  return c;
}

Runner runner(GemmF32 Kernels::* field) {
  return field == &Kernels::gemm_sparse_f32 ? run_gemm_sparse : run_gemm;
}
Runner runner(GemmI16 Kernels::*) { return run_gemm_i16; }

}  // namespace

void add_dense_runners(Runners& runners) { PYREC_KERNELS_dense(PYREC_ADD_RUNNER, PYREC_NO_RUNNER) }

}  // namespace pyrec
