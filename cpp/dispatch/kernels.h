#pragma once

// Every kernel and what is known of it: the lists that the table, its bindings for tests and the
// specifications in Python follow, and the choice of a table for this processor.

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "dispatch/kernel_types.h"

namespace pyrec {

// The kernels of each family, field name and function type: X for those that run by themselves,
// INNER for those that lay operands out and run inside another.
#define PYREC_KERNELS_elementwise(X, INNER) \
  X(abs_f32, UnaryF32)                      \
  X(negative_f32, UnaryF32)                 \
  X(sqrt_f32, UnaryF32)                     \
  X(reciprocal_f32, UnaryF32)               \
  X(floor_f32, UnaryF32)                    \
  X(ceil_f32, UnaryF32)                     \
  X(round_f32, UnaryF32)                    \
  X(relu_f32, UnaryF32)                     \
  X(add_f32, BinaryF32)                     \
  X(subtract_f32, BinaryF32)                \
  X(multiply_f32, BinaryF32)                \
  X(divide_f32, BinaryF32)                  \
  X(maximum_f32, BinaryF32)                 \
  X(minimum_f32, BinaryF32)                 \
  X(multiply_add_f32, MultiplyAddF32)

#define PYREC_KERNELS_transcendental(X, INNER) \
  X(exp_f32, UnaryF32)                         \
  X(log_f32, UnaryF32)                         \
  X(sigmoid_f32, UnaryF32)                     \
  X(tanh_f32, UnaryF32)                        \
  X(erf_f32, UnaryF32)                         \
  X(softplus_f32, UnaryF32)

#define PYREC_KERNELS_reduce(X, INNER) \
  X(sum_f32, ReduceF32)                \
  X(sum_squares_f32, ReduceF32)        \
  X(max_f32, ReduceF32)                \
  X(min_f32, ReduceF32)

#define PYREC_KERNELS_rows(X, INNER) \
  X(softmax_f32, RowsF32)            \
  X(log_softmax_f32, RowsF32)        \
  X(layer_normalization_f32, LayerNormalizationF32)

#define PYREC_KERNELS_dense(X, INNER)          \
  INNER(packed_size_f32, PackedSizeF32)        \
  INNER(pack_f32, PackF32)                     \
  X(gemm_f32, GemmF32)                         \
  INNER(packed_size_sparse_f32, PackedSizeF32) \
  INNER(pack_sparse_f32, PackF32)              \
  X(gemm_sparse_f32, GemmSparseF32)            \
  INNER(packed_size_i16, PackedSizeI16)        \
  INNER(pack_i16, PackI16)                     \
  X(gemm_i16, GemmI16)

#define PYREC_KERNELS_gather(X, INNER) \
  X(gather_rows_f32, GatherRowsF32)    \
  X(bag_sum_f32, BagSumF32)

#define PYREC_KERNELS_lookup(X, INNER) \
  X(lookup_f32, LookupF32)             \
  X(lookup_sum_f32, LookupSumF32)      \
  X(lookup_sum_u8, LookupSumU8)        \
  X(lookup_sum_bf16, LookupSumBf16)

#define PYREC_KERNELS_embedding_bag(X, INNER) X(embedding_bag_f32, EmbeddingBagF32)

#define PYREC_KERNELS_pair_dots(X, INNER) X(pair_dots_f32, PairDotsF32)

#define PYREC_KERNELS_convert(X, INNER) \
  X(half_to_f32, HalfToF32)             \
  X(f32_to_half, F32ToHalf)

#define PYREC_KERNELS_quantized(X, INNER) \
  X(quantize_rows_u8, QuantizeRowsU8)     \
  X(measure_rows_u8, QuantizeRowsU8)      \
  INNER(packed_size_s8, PackedBytes)      \
  INNER(pack_s8, PackBytes)               \
  X(gemm_u8s8, GemmU8S8)                  \
  INNER(pack_sparse_s8, PackBytes)        \
  X(gemm_sparse_u8s8, GemmU8S8)           \
  X(round_rows_bf16, RoundRowsBf16)       \
  INNER(packed_size_bf16, PackedBytes)    \
  INNER(pack_bf16, PackBytes)             \
  X(gemm_bf16, GemmBf16)                  \
  INNER(pack_sparse_bf16, PackBytes)      \
  X(gemm_sparse_bf16, GemmBf16)           \
  INNER(order_lanes, OrderLanes)          \
  INNER(reorder_s8, ReorderBytes)         \
  INNER(reorder_bf16, ReorderBytes)

#define PYREC_KERNELS_screen(X, INNER) \
  X(screen_s7, ScreenS7)               \
  X(score_s7, ScoreS7)                 \
  X(screen_rows_s7, ScreenRowsS7)      \
  X(score_rows_s7, ScoreRowsS7)        \
  X(screen_u4, ScreenU4)               \
  X(screen_rows_f32, ScreenRowsF32)

#define PYREC_KERNELS_find(X, INNER) X(find_above_f32, FindAboveF32)

#define PYREC_KERNELS_forest(X, INNER) \
  X(find_places_f32, FindPlacesF32)    \
  X(rank_places_i8, RankPlacesI8)      \
  X(find_leaves_u8, FindLeavesU8)      \
  X(find_answers_u8, FindAnswersU8)    \
  X(add_votes_f32, AddVotes<float>)    \
  X(add_votes_f64, AddVotes<double>)

// Calls F with each family's name.
#define PYREC_FAMILIES(F, ...)                 \
  F(elementwise __VA_OPT__(, ) __VA_ARGS__)    \
  F(transcendental __VA_OPT__(, ) __VA_ARGS__) \
  F(reduce __VA_OPT__(, ) __VA_ARGS__)         \
  F(rows __VA_OPT__(, ) __VA_ARGS__)           \
  F(dense __VA_OPT__(, ) __VA_ARGS__)          \
  F(gather __VA_OPT__(, ) __VA_ARGS__)         \
  F(lookup __VA_OPT__(, ) __VA_ARGS__)         \
  F(embedding_bag __VA_OPT__(, ) __VA_ARGS__)  \
  F(pair_dots __VA_OPT__(, ) __VA_ARGS__)      \
  F(convert __VA_OPT__(, ) __VA_ARGS__)        \
  F(quantized __VA_OPT__(, ) __VA_ARGS__)      \
  F(screen __VA_OPT__(, ) __VA_ARGS__)         \
  F(find __VA_OPT__(, ) __VA_ARGS__)           \
  F(forest __VA_OPT__(, ) __VA_ARGS__)

#define PYREC_FAMILY(family, X, INNER) PYREC_KERNELS_##family(X, INNER)
#define PYREC_ALL_KERNELS(X, INNER) PYREC_FAMILIES(PYREC_FAMILY, X, INNER)
// Every kernel: field name and function type.
#define PYREC_KERNELS(X) PYREC_ALL_KERNELS(X, X)

// Those that instructions for sums of products of bytes, and those that instructions for bfloat16
// make faster.
#define PYREC_BYTE_KERNELS(X)     \
  X(gemm_u8s8, GemmU8S8)          \
  X(gemm_sparse_u8s8, GemmU8S8)   \
  X(screen_s7, ScreenS7)          \
  X(score_s7, ScoreS7)            \
  X(screen_rows_s7, ScreenRowsS7) \
  X(score_rows_s7, ScoreRowsS7)   \
  X(screen_u4, ScreenU4)
#define PYREC_BF16_KERNELS(X)       \
  X(lookup_sum_bf16, LookupSumBf16) \
  X(round_rows_bf16, RoundRowsBf16) \
  X(gemm_bf16, GemmBf16)            \
  X(gemm_sparse_bf16, GemmBf16)

// What some tables can do and others cannot.
#define PYREC_TRAITS(X)                                                            \
  X(multiplies_bf16) /* gemm_bf16 runs on instructions for it: rows are rounded */ \
  X(skips_groups)    /* gemm_sparse_u8s8 is faster where there are zeros */        \
  X(skips_pairs)     /* gemm_sparse_bf16 is */

// The kernels of an ISA, or those that more instructions make faster in place of an ISA's: the
// others of these are null.
struct Kernels {
  const char* isa = nullptr;
  std::size_t lanes = 0;
#define PYREC_FIELD(name) bool name = false;
  PYREC_TRAITS(PYREC_FIELD)
#undef PYREC_FIELD
#define PYREC_FIELD(name, type) type name = nullptr;
  PYREC_KERNELS(PYREC_FIELD)
#undef PYREC_FIELD
};

// ISAs of this build, whether this CPU can run them or not, best first.
std::vector<std::string_view> known_isas();

// The tables that this CPU can run, best first.
std::span<const Kernels> available_kernels();

// The best ISA without what further instructions make faster, and with every trait: the kernels
// that stand in for them, as if they were fast. For tests.
constexpr const char* kStandIn = "stand_in";

// The table of that name, or null if this build or this CPU does not have it.
const Kernels* find_kernels(std::string_view isa);

}  // namespace pyrec
