#pragma once

// The types of kernels. Plain functions on plain memory: a kernel allocates nothing, throws
// nothing, checks nothing and knows no tensor. Sizes are in elements.

#include <cstddef>
#include <cstdint>

#include "codecs/codec.h"

namespace pyrec {

// y[i] = f(x[i]); y may be x.
using UnaryF32 = void (*)(const float* x, float* y, std::size_t n);

// y[i] = f(a[i * a_step], b[i * b_step]), each step 0 or 1; y may be a or b where that step is 1.
using BinaryF32 = void (*)(const float* a, std::size_t a_step, const float* b, std::size_t b_step,
                           float* y, std::size_t n);

// y[i] = a[i * a_step] * b[i * b_step] + c[i * c_step], each step 0 or 1, rounded once or after
// both operations; y may be an operand of step 1.
using MultiplyAddF32 = void (*)(const float* a, std::size_t a_step, const float* b,
                                std::size_t b_step, const float* c, std::size_t c_step, float* y,
                                std::size_t n);

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

// Rows of a table that are needed soon, of `stride` bytes each. A product that is given them
// prefetches some after each block of its own work, and moves on.
struct Upcoming {
  std::uintptr_t table = 0;
  std::size_t stride = 0;
  const std::int64_t* rows = nullptr;  // numbers that may be invalid
  std::size_t count = 0;
  std::size_t offset = 0;  // bytes of the first row that are done
};

// c = activation(a * b + bias): a is [m, k] with lda floats from row to row, b is packed [k, n],
// bias is null or [m, n] with bias_step floats from row to row, 0 for one row for all; c is [m, n]
// with ldc floats from row to row, and may be the bias if ldc is bias_step. k = 0 gives the bias.
// `upcoming` may be null.
using GemmF32 = void (*)(const float* a, std::size_t lda, const float* packed, const float* bias,
                         std::size_t bias_step, Activation activation, float* c, std::size_t ldc,
                         std::size_t m, std::size_t n, std::size_t k, Upcoming* upcoming);

// The same product by gemm_sparse_f32 of rows with many zeros, which are not multiplied: b must be
// finite, and is laid out by pack_sparse_f32 in packed_size_sparse_f32 floats.
using GemmSparseF32 = GemmF32;

// out[i * out_step ..+ width] = table[rows[i] * width ..+ width]; rows are valid.
using GatherRowsF32 = void (*)(const float* table, std::size_t width, const std::int64_t* rows,
                               std::size_t n, float* out, std::size_t out_step);

// out[..width] = sum over i of weights[i] * table[rows[i] * width ..+ width]; weights null means 1;
// rows are valid; n = 0 gives zeros.
using BagSumF32 = void (*)(const float* table, std::size_t width, const std::int64_t* rows,
                           const float* weights, std::size_t n, float* out);

// `width` numbers of each of some rows of a table.
struct LookupPart {
  const unsigned char* table;  // row 0's; rows are aligned as the codec wants it
  std::size_t stride;          // bytes from row to row
  const std::int64_t* rows;    // valid row numbers; null for 0, 1, 2, ...
  std::size_t width;
  Codec codec;
  bool far;  // the table is too big for the cache
};

// out[i * out_step ..] = the parts of row i one after the other.
using LookupF32 = void (*)(const LookupPart* parts, std::size_t count, std::size_t n, float* out,
                           std::size_t out_step);

// out[i * out_step ..+ width] = activation(bias[i * bias_step ..+ width] + sum of the parts of row
// i), which are all of this width. The bias may be null.
using LookupSumF32 = void (*)(const float* bias, std::size_t bias_step, const LookupPart* parts,
                              std::size_t count, Activation activation, std::size_t n,
                              std::size_t width, float* out, std::size_t out_step);

enum class BagMode : std::int32_t { kSum, kMean, kWeightedMean, kMax };

// Bags of rows of one table.
struct Bags {
  LookupPart part;     // the table; without rows
  std::size_t size;    // its number of rows
  std::int64_t first;  // the place of ids[0] and weights[0]
  const std::int64_t* ids;
  std::int64_t given;          // number of ids
  std::size_t wrap;            // added to negative ids: size, or 0 where they are wrong
  const float* weights;        // of the ids; null for 1
  const std::int64_t* bounds;  // for each bag the places of its first id and after its last
  std::size_t count;           // of bags
  BagMode mode;                // means divide by the number of ids or by the sum of their weights
  bool padded;                 // ids equal to one of the paddings are left out
  std::int64_t padding[2];
};

// out[i * out_step ..+ width] = what the mode makes of the rows of bag i, zeros where it has none.
// Weights are for sums and means. Returns the place of an id that is neither padding nor a row, the
// first one bag by bag, or -1.
using EmbeddingBagF32 = std::int64_t (*)(const Bags& bags, float* out, std::size_t out_step);

// out[i * pairs + p] = sum over j < d of a[i * a_step + left[p] + j] * b[i * b_step + right[p] +
// j].
using PairDotsF32 = void (*)(const float* a, std::size_t a_step, const float* b, std::size_t b_step,
                             const std::int64_t* left, const std::int64_t* right, std::size_t pairs,
                             std::size_t d, std::size_t n, float* out);

using HalfToF32 = void (*)(const std::uint16_t* x, float* y, std::size_t n);
using F32ToHalf = void (*)(const float* x, std::uint16_t* y, std::size_t n);

// c[m, n] (ldc = n) = sum over k of a[i * k + l] * b[l * n + j], exact in int32 with wrap-around.
using GemmI16 = void (*)(const std::int16_t* a, const std::int16_t* b_packed, std::int32_t* c,
                         std::size_t m, std::size_t n, std::size_t k);

// Number of int16 that pack_i16 writes for a [k, n] matrix, and its layout for gemm_i16.
using PackedSizeI16 = std::size_t (*)(std::size_t k, std::size_t n);
using PackI16 = void (*)(const std::int16_t* b, std::size_t k, std::size_t n, std::int16_t* packed);

// A row of k numbers as uint8: the nearest of number / scale + zero point, then the zero point up
// to a multiple of 16, then scale (float32) and zero point (int32) in kRowRecordTail bytes. The
// zero point is 0 for a row without a sign bit, else kZeroPoint. A row with a number that is
// not finite has NaN as its scale. The bytes are at most 127 and the columns' -127 to 127, so that
// two products fit 16 bits, which is what AVX2 sums exactly.
constexpr float kRowLevels = 127.0f;       // what the largest number of a row becomes
constexpr float kSignedRowLevels = 63.0f;  // the same of a row with a sign bit
constexpr float kColumnLevels = 127.0f;
constexpr std::int32_t kZeroPoint = 64;
constexpr std::size_t kRowRecordTail = 16;
// measure_rows_u8 writes two float32 behind them: the length of the row as it is rounded, and that
// of what rounding takes from it; of a row without a scale above zero that scale, twice.
constexpr std::size_t kMeasuredInTail = sizeof(float) + sizeof(std::int32_t);
static_assert(kMeasuredInTail + 2 * sizeof(float) <= kRowRecordTail);
static constexpr std::size_t quantized_row_size(std::size_t k) {
  return (k + 15) / 16 * 16 + kRowRecordTail;
}

// Quantises m rows, ldx floats apart, into rows of quantized_row_size(k) bytes, in an order of
// order_lanes or, if that is null, as they are.
using QuantizeRowsU8 = void (*)(const float* x, std::size_t ldx, std::size_t m, std::size_t k,
                                const std::int32_t* order, std::byte* rows);

// Rows of sums that are in float32 at once where that is needed.
constexpr std::size_t kSummedRows = 16;

// quantize_rows_u8 of lookup_sum_f32, with ReLU or no activation; scratch holds kSummedRows rows of
// `width` floats.
using LookupSumU8 = void (*)(const float* bias, std::size_t bias_step, const LookupPart* parts,
                             std::size_t count, bool relu, std::size_t n, std::size_t width,
                             const std::int32_t* order, float* scratch, std::byte* rows);

// Number of bytes that pack_s8 or pack_bf16 writes for a [k, n] matrix.
using PackedBytes = std::size_t (*)(std::size_t k, std::size_t n);

// Lays b[i * row_step + j * column_step] out for gemm_u8s8, each column as int8 with a scale of its
// own, or for gemm_bf16, or for the sparse form of either. `packed` is aligned for float.
using PackBytes = void (*)(const float* b, std::size_t k, std::size_t n, std::size_t row_step,
                           std::size_t column_step, std::byte* packed);

// c = a * b + bias, and then the larger of that and 0 if `relu`: a has m rows of
// quantize_rows_u8, b is packed by pack_s8, bias and c are as in gemm_f32. gemm_sparse_u8s8 of a
// matrix that is packed by pack_sparse_s8 gives the same faster where a has many zeros.
using GemmU8S8 = void (*)(const std::byte* a, const std::byte* packed, const float* bias,
                          std::size_t bias_step, bool relu, float* c, std::size_t ldc,
                          std::size_t m, std::size_t n, std::size_t k, Upcoming* upcoming);

// The size of a row of round_rows_bf16, which ends in zeros.
static constexpr std::size_t rounded_row_size(std::size_t k) { return (k + 15) / 16 * 16; }

// Rounds m rows, ldx floats apart, to the nearest bfloat16, the even one of two; subnormal numbers
// become zeros. The order is as in quantize_rows_u8.
using RoundRowsBf16 = void (*)(const float* x, std::size_t ldx, std::size_t m, std::size_t k,
                               const std::int32_t* order, std::uint16_t* rows);

// round_rows_bf16 of lookup_sum_f32, with ReLU or no activation.
using LookupSumBf16 = void (*)(const float* bias, std::size_t bias_step, const LookupPart* parts,
                               std::size_t count, bool relu, std::size_t n, std::size_t width,
                               const std::int32_t* order, std::uint16_t* rows);

// The same as gemm_u8s8 of rows of round_rows_bf16 and a matrix packed by pack_bf16. b must be
// finite for gemm_sparse_bf16.
using GemmBf16 = void (*)(const std::uint16_t* a, const std::byte* packed, const float* bias,
                          std::size_t bias_step, bool relu, float* c, std::size_t ldc,
                          std::size_t m, std::size_t n, std::size_t k, Upcoming* upcoming);

// Puts the numbers of each whole vector of x[0..n) in order, the largest first: place j of a row in
// that order is order[j] places behind the start of j's vector. Vectors are as wide as the ISA's.
using OrderLanes = void (*)(const float* x, std::size_t n, std::int32_t* order);

// What pack_sparse_s8 or pack_sparse_bf16 gives for a [k, n] matrix, from there to the same for its
// rows in an order of order_lanes.
using ReorderBytes = void (*)(const std::byte* packed, const std::int32_t* order, std::size_t k,
                              std::size_t n, std::byte* out);

// Items that a screen takes at once.
constexpr std::size_t kScreenItems = 64;

// Codes of kScreenItems vectors of d numbers, -64 to 64, and what products with them become scores
// by. The codes are packed by pack_f32, four of an item as one number of a [d / 4, kScreenItems]
// matrix.
struct ScreenBlock {
  const float* codes;
  const std::int32_t* start;  // -64 times the sum of an item's codes
  const float* scale;
  const float* bias;
};

// Which items may have a score that is not less than least[q]: bit i of marks[q] is set if
// scales[q] * (scale[i] * float(start[i] + the products' sum)) + bias[i] is not less, each step
// rounded but for the last two, which are one where the ISA can. A query is d numbers of up to 127,
// its codes with 64 added; d is a multiple of 8.
using ScreenS7 = void (*)(const std::uint8_t* queries, const float* scales, const float* least,
                          std::size_t m, const ScreenBlock& block, std::size_t d,
                          std::uint64_t* marks);

// The scores that screen_s7 compares, those of a query `step` floats behind those of the one
// before.
using ScoreS7 = void (*)(const std::uint8_t* queries, const float* scales, std::size_t m,
                         const ScreenBlock& block, std::size_t d, float* scores, std::size_t step);

// Blocks of vectors that a screen reads at once, a little of each in turn.
constexpr std::size_t kScreenStreams = 4;

// kScreenItems vectors of d numbers, or their codes, where they lie.
struct ScreenRows {
  const std::byte* rows;
  std::size_t step;           // bytes from a row to the next
  const std::int32_t* start;  // of codes alone, as in a ScreenBlock
  const float* scale;         // of codes alone
  const float* bias;
  const float* least;    // of each query
  std::uint64_t* marks;  // of each query
};

// The same as screen_s7 of each of at most kScreenStreams blocks.
using ScreenRowsS7 = void (*)(const std::uint8_t* queries, const float* scales, std::size_t m,
                              const ScreenRows* blocks, std::size_t count, std::size_t d);

// Codes of kScreenItems vectors of d numbers where they lie, and where their scores go.
struct ScoreRows {
  const std::byte* rows;
  std::size_t step;           // bytes from a row to the next
  const std::int32_t* start;  // as in a ScreenBlock
  const float* scale;
  const float* bias;
  float* scores;  // [m, kScreenItems]
};

// The scores that screen_rows_s7 compares.
using ScoreRowsS7 = void (*)(const std::uint8_t* queries, const float* scales, std::size_t m,
                             const ScoreRows* blocks, std::size_t count, std::size_t d);

// Codes of kScreenItems vectors of d numbers, of four bits without a sign, in a matrix of groups
// [d / 8, kScreenItems, 4]: byte j of group g holds that of number 4 g + j of an item and, in its
// upper half, of number d / 2 + 4 g + j.
struct ScreenPanels {
  const std::byte* codes;
  const std::uint32_t* details;  // the scale of an item in the upper half, in the lower one what
                                 // its codes leave, both as bfloat16
  const float* bias;
  const float* least;     // of each query
  std::uint64_t* marks;   // of each query
  const std::byte* next;  // codes that are brought into cache meanwhile
};

// Which items of each block may have a score that is not less than least[q]: bit i of marks[q] is
// set if scales[q] * (scale[i] * float(starts[q] + the products' sum)) + (sizes[q] * left[i] +
// bias[i]) is not less, rounded once or twice where a sum follows a product. A query is d numbers
// of -127 to 127; d is a multiple of 16.
using ScreenU4 = void (*)(const std::int8_t* queries, const std::int32_t* starts,
                          const float* scales, const float* sizes, std::size_t m,
                          const ScreenPanels* blocks, std::size_t count, std::size_t d);

// Which items of each of at most kScreenStreams blocks may have a score that is not less than
// least[q]: the sum of the products of their numbers, in any order, and bias[i]. Steps are rounded
// once or twice.
using ScreenRowsF32 = void (*)(const float* queries, std::size_t m, const ScreenRows* blocks,
                               std::size_t count, std::size_t d);

// Writes the places, rising, of the numbers of x[0..n) that are above a bound, and gives how many
// there are; NaN is above nothing. `places` has room for n.
using FindAboveF32 = std::size_t (*)(const float* x, std::size_t n, float below,
                                     std::uint32_t* places);

// Rows that go through a tree together.
constexpr std::size_t kForestRows = 64;

// Rising numbers in a search tree of blocks of kPlaceKeys. The last level has the numbers, each
// other one the last number of each block of the next, but infinity for the last of all, so that no
// number leads beyond it. Blocks are filled up with infinity. Nothing is in no tree.
constexpr std::size_t kPlaceKeys = 16;
constexpr std::size_t kPlaceLevels = 4;  // for up to 65536 numbers
struct PlaceTree {
  const float* levels[kPlaceLevels];  // the first has one block
  std::size_t count;                  // of levels that there are
  std::size_t keys;                   // of the last, without those that fill it up
};

// How many of the tree's numbers are less than each of x[0..n), and `first`; of NaN it is
// `missing`.
using FindPlacesF32 = void (*)(const PlaceTree& tree, const float* x, std::size_t n,
                               std::uint16_t first, std::uint16_t missing, std::uint16_t* places);

// Places on a part of a scale: counted from `first`, at most 255, but `absent` at the place
// `missing`, the complement of that where it is reversed, and 128 less.
struct PlaceWindow {
  std::uint16_t first, missing;
  std::uint8_t absent;
  bool reversed;
};
using RankPlacesI8 = void (*)(const PlaceWindow& window, const std::uint16_t* places, std::size_t n,
                              std::int8_t* ranks);

// A row whose rank in a column is not below the limit keeps these of eight leaves.
struct LeafTest {
  std::uint16_t column;
  std::int8_t limit;
  std::uint8_t keep;
};

// The first of a tree's leaves that each row keeps: `planes` lists of tests, each for eight leaves,
// those of the last leaves first, of which each row keeps at least one. `ranks` has kForestRows of
// each column, of which the first `rows` count; `leaves` has room for kForestRows, and those of
// other rows may be any.
using FindLeavesU8 = void (*)(const LeafTest* tests, const std::uint16_t* counts,
                              std::size_t planes, const std::int8_t* ranks, std::size_t rows,
                              std::uint8_t* leaves);

// What each row answers to up to eight tests: of each that its rank is below the limit of, the bits
// that the test keeps. Ranks, rows and room as above.
using FindAnswersU8 = void (*)(const LeafTest* tests, std::size_t count, const std::int8_t* ranks,
                               std::size_t rows, std::uint8_t* answers);

// Adds weights[leaves[r]] to each row's score. There is room for kForestRows scores and leaves, of
// which those of further rows may become any; kForestLeaves weights can be read, of which `count`
// are those of leaves.
constexpr std::size_t kForestLeaves = 256;
template <class T>
using AddVotes = void (*)(const T* weights, std::size_t count, const std::uint8_t* leaves,
                          std::size_t rows, T* scores);

}  // namespace pyrec
