#pragma once

// The table of kernels that an ISA fills in. Plain functions on plain memory: a kernel allocates
// nothing, throws nothing, checks nothing and knows no tensor. Sizes are in elements.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace pyrec {

// y[i] = f(x[i]); y may be x.
using UnaryF32 = void (*)(const float* x, float* y, std::size_t n);

// y[i] = f(a[i * a_step], b[i * b_step]), each step 0 or 1; y may be a or b where that step is 1.
using BinaryF32 = void (*)(const float* a, std::size_t a_step, const float* b, std::size_t b_step,
                           float* y, std::size_t n);

// f over x[0..n); n >= 1 for max and min, which give NaN if any element is NaN.
using ReduceF32 = float (*)(const float* x, std::size_t n);

// y[r] = softmax or log-softmax of row r of a [rows, n] matrix; y may be x. All -inf gives NaN.
using RowsF32 = void (*)(const float* x, float* y, std::size_t rows, std::size_t n);

// y[r] = (x[r] - mean) / sqrt(variance + epsilon) * gamma + beta; gamma, beta may be null.
using LayerNormalizationF32 = void (*)(const float* x, const float* gamma, const float* beta,
                                       float epsilon, float* y, std::size_t rows, std::size_t n);

// Number of floats that pack_f32 writes for a [k, n] matrix.
using PackedSizeF32 = std::size_t (*)(std::size_t k, std::size_t n);

// Lays b[i * row_step + j * column_step] out for gemm_f32.
using PackF32 = void (*)(const float* b, std::size_t k, std::size_t n, std::size_t row_step,
                         std::size_t column_step, float* packed);

enum class Activation : std::int32_t { kNone, kRelu, kSigmoid, kTanh };

// c = activation(a * b + bias): a is [m, k] with lda floats from row to row, b is packed [k, n],
// bias is [n] or null, c is [m, n] with ldc floats from row to row. k = 0 gives the bias.
using GemmF32 = void (*)(const float* a, std::size_t lda, const float* packed, const float* bias,
                         Activation activation, float* c, std::size_t ldc, std::size_t m,
                         std::size_t n, std::size_t k);

// out[i * out_step ..+ width] = table[rows[i] * width ..+ width]; rows are valid.
using GatherRowsF32 = void (*)(const float* table, std::size_t width, const std::int64_t* rows,
                               std::size_t n, float* out, std::size_t out_step);

// out[..width] = sum over i of weights[i] * table[rows[i] * width ..+ width]; weights null means 1;
// rows are valid; n = 0 gives zeros.
using BagSumF32 = void (*)(const float* table, std::size_t width, const std::int64_t* rows,
                           const float* weights, std::size_t n, float* out);

using HalfToF32 = void (*)(const std::uint16_t* x, float* y, std::size_t n);
using F32ToHalf = void (*)(const float* x, std::uint16_t* y, std::size_t n);

// c[m, n] (ldc = n) = sum over k of a[i * k + l] * b[l * n + j], exact in int32 with wrap-around.
using GemmI16 = void (*)(const std::int16_t* a, const std::int16_t* b_packed, std::int32_t* c,
                         std::size_t m, std::size_t n, std::size_t k);

// Number of int16 that pack_i16 writes for a [k, n] matrix, and its layout for gemm_i16.
using PackedSizeI16 = std::size_t (*)(std::size_t k, std::size_t n);
using PackI16 = void (*)(const std::int16_t* b, std::size_t k, std::size_t n, std::int16_t* packed);

// Every kernel: field name and function type. The generic kernel test walks this list.
#define PYREC_KERNELS(X)                            \
  X(abs_f32, UnaryF32)                              \
  X(negative_f32, UnaryF32)                         \
  X(sqrt_f32, UnaryF32)                             \
  X(reciprocal_f32, UnaryF32)                       \
  X(floor_f32, UnaryF32)                            \
  X(ceil_f32, UnaryF32)                             \
  X(round_f32, UnaryF32)                            \
  X(relu_f32, UnaryF32)                             \
  X(exp_f32, UnaryF32)                              \
  X(log_f32, UnaryF32)                              \
  X(sigmoid_f32, UnaryF32)                          \
  X(tanh_f32, UnaryF32)                             \
  X(erf_f32, UnaryF32)                              \
  X(softplus_f32, UnaryF32)                         \
  X(add_f32, BinaryF32)                             \
  X(subtract_f32, BinaryF32)                        \
  X(multiply_f32, BinaryF32)                        \
  X(divide_f32, BinaryF32)                          \
  X(maximum_f32, BinaryF32)                         \
  X(minimum_f32, BinaryF32)                         \
  X(sum_f32, ReduceF32)                             \
  X(sum_squares_f32, ReduceF32)                     \
  X(max_f32, ReduceF32)                             \
  X(min_f32, ReduceF32)                             \
  X(softmax_f32, RowsF32)                           \
  X(log_softmax_f32, RowsF32)                       \
  X(layer_normalization_f32, LayerNormalizationF32) \
  X(packed_size_f32, PackedSizeF32)                 \
  X(pack_f32, PackF32)                              \
  X(gemm_f32, GemmF32)                              \
  X(gather_rows_f32, GatherRowsF32)                 \
  X(bag_sum_f32, BagSumF32)                         \
  X(half_to_f32, HalfToF32)                         \
  X(f32_to_half, F32ToHalf)                         \
  X(packed_size_i16, PackedSizeI16)                 \
  X(pack_i16, PackI16)                              \
  X(gemm_i16, GemmI16)

struct Kernels {
  const char* isa;
#define PYREC_FIELD(name, type) type name;
  PYREC_KERNELS(PYREC_FIELD)
#undef PYREC_FIELD
};

struct CpuFeatures {
  bool avx2;    // AVX2, FMA, F16C and BMI2, and an operating system that saves the registers
  bool avx512;  // F, BW, DQ, VL
  bool avx512_bf16;
  bool avx512_vnni;
};

const CpuFeatures& cpu_features();

// ISAs of this build that this CPU can run, best first.
std::span<const Kernels* const> available_kernels();

// The named ISA's table, or null if this build or this CPU does not have it.
const Kernels* find_kernels(std::string_view isa);

}  // namespace pyrec
