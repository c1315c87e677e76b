#pragma once

// Rows of tables, side by side or summed, and dot products of pairs of vectors.

#include "kernels/gemm.inl.h"
#include "kernels/prefetch.inl.h"

namespace pyrec {
namespace {

constexpr std::size_t kLookupRows = 16;  // taken at a time, and prefetched as many ahead

inline std::size_t row_bytes(const LookupPart& part) {
  switch (part.codec) {
    case Codec::kF32:
      return part.width * 4;
    case Codec::kBf16:
      return part.width * 2;
    case Codec::kI8:
      return ceil_divide(part.width, 4) * 4 + 4;
  }
  return 0;
}

inline const unsigned char* row_of(const LookupPart& part, std::size_t i) {
  const std::size_t row = part.rows == nullptr ? i : static_cast<std::size_t>(part.rows[i]);
  return part.table + row * part.stride;
}

// Reads vectors of one row. Rows are aligned to 4 bytes.
template <Codec kCodec>
struct RowReader;

template <>
struct RowReader<Codec::kF32> {
  RowReader(const unsigned char* row, std::size_t) : row(reinterpret_cast<const float*>(row)) {}
  VecF read(std::size_t j) const { return load(row + j); }
  VecF read_first(std::size_t j, std::size_t count) const { return load_first(row + j, count); }
  const float* row;
};

template <>
struct RowReader<Codec::kBf16> {
  RowReader(const unsigned char* row, std::size_t)
      : row(reinterpret_cast<const std::uint16_t*>(row)) {}
  VecF read(std::size_t j) const { return load_bf16(row + j); }
  VecF read_first(std::size_t j, std::size_t count) const {
    return load_first_bf16(row + j, count);
  }
  const std::uint16_t* row;
};

template <>
struct RowReader<Codec::kI8> {
  RowReader(const unsigned char* row, std::size_t width)
      : row(reinterpret_cast<const std::int8_t*>(row)),
        scale(broadcast(*reinterpret_cast<const float*>(row + ceil_divide(width, 4) * 4))) {}
  VecF read(std::size_t j) const { return load_i8(row + j) * scale; }
  VecF read_first(std::size_t j, std::size_t count) const {
    return load_first_i8(row + j, count) * scale;
  }
  const std::int8_t* row;
  VecF scale;
};

// Copies rows [begin, end) of n; `width_of` gives the width, as a constant where that makes the
// copy a few moves.
template <Codec kCodec, class Width>
inline void copy_rows(const LookupPart& part, Width width_of, std::size_t begin, std::size_t end,
                      std::size_t n, float* out, std::size_t out_step) {
  const std::size_t width = width_of();
  const std::size_t bytes = row_bytes(part);
  for (std::size_t i = begin; i < end; ++i, out += out_step) {
    if (part.far && i + kLookupRows < n) prefetch_bytes(row_of(part, i + kLookupRows), bytes);
    const RowReader<kCodec> row(row_of(part, i), width);
    std::size_t j = 0;
    for (; j + kLanes <= width; j += kLanes) store(out + j, row.read(j));
    if (j < width) store_first(out + j, row.read_first(j, width - j), width - j);
  }
}

inline void copy_part(const LookupPart& part, std::size_t begin, std::size_t end, std::size_t n,
                      float* out, std::size_t out_step) {
  const auto any = [&] { return part.width; };
  const auto sixteen = [] { return std::size_t{16}; };
  switch (part.codec) {
    case Codec::kF32:
      if (part.width == 16) {
        copy_rows<Codec::kF32>(part, sixteen, begin, end, n, out, out_step);
      } else if (part.width == 1) {
        copy_rows<Codec::kF32>(part, [] { return std::size_t{1}; }, begin, end, n, out, out_step);
      } else {
        copy_rows<Codec::kF32>(part, any, begin, end, n, out, out_step);
      }
      break;
    case Codec::kBf16:
      copy_rows<Codec::kBf16>(part, any, begin, end, n, out, out_step);
      break;
    case Codec::kI8:
      copy_rows<Codec::kI8>(part, any, begin, end, n, out, out_step);
      break;
  }
}

void lookup_f32(const LookupPart* parts, std::size_t count, std::size_t n, float* out,
                std::size_t out_step) {
  for (std::size_t p = 0; p < count; ++p) {
    if (!parts[p].far) continue;
    const std::size_t bytes = row_bytes(parts[p]);
    for (std::size_t i = 0; i < smaller(kLookupRows, n); ++i) {
      prefetch_bytes(row_of(parts[p], i), bytes);
    }
  }
  for (std::size_t begin = 0; begin < n; begin += kLookupRows) {
    const std::size_t end = smaller(begin + kLookupRows, n);
    float* place = out + begin * out_step;
    for (std::size_t p = 0; p < count; ++p) {
      copy_part(parts[p], begin, end, n, place, out_step);
      place += parts[p].width;
    }
  }
}

template <Codec kCodec, int kVectors>
inline void add_row(const LookupPart& part, std::size_t i, std::size_t column, std::size_t last,
                    VecF (&sums)[kVectors]) {
  const RowReader<kCodec> row(row_of(part, i), part.width);
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const std::size_t j = column + static_cast<std::size_t>(v) * kLanes;
    const bool whole = v + 1 < kVectors || last == kLanes;
    sums[v] = sums[v] + (whole ? row.read(j) : row.read_first(j, last));
  }
}

// kVectors vectors, from a column on, of row i; the last of them is `last` lanes wide.
template <int kVectors>
void lookup_sum_block(const float* bias, const LookupPart* parts, std::size_t count, std::size_t i,
                      std::size_t column, std::size_t last, bool relu, float* out) {
  VecF sums[kVectors] = {};
  const auto place = [](auto* p, int v) { return p + static_cast<std::size_t>(v) * kLanes; };
  if (bias != nullptr) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const bool whole = v + 1 < kVectors || last == kLanes;
      sums[v] = whole ? load(place(bias, v)) : load_first(place(bias, v), last);
    }
  }
  for (std::size_t p = 0; p < count; ++p) {
    switch (parts[p].codec) {
      case Codec::kF32:
        add_row<Codec::kF32>(parts[p], i, column, last, sums);
        break;
      case Codec::kBf16:
        add_row<Codec::kBf16>(parts[p], i, column, last, sums);
        break;
      case Codec::kI8:
        add_row<Codec::kI8>(parts[p], i, column, last, sums);
        break;
    }
  }
  const VecF low = broadcast(relu ? 0.0f : -kInfinity);
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    const VecF y = max(low, sums[v]);
    if (v + 1 < kVectors || last == kLanes) {
      store(place(out, v), y);
    } else {
      store_first(place(out, v), y, last);
    }
  }
}

constexpr std::size_t kSumVectors = 8;
constexpr std::size_t kLinesAhead = 64;  // about what a core can have under way

void lookup_sum_f32(const float* bias, std::size_t bias_step, const LookupPart* parts,
                    std::size_t count, Activation activation, std::size_t n, std::size_t width,
                    float* out, std::size_t out_step) {
  constexpr decltype(&lookup_sum_block<1>) kBlocks[kSumVectors] = {
      lookup_sum_block<1>, lookup_sum_block<2>, lookup_sum_block<3>, lookup_sum_block<4>,
      lookup_sum_block<5>, lookup_sum_block<6>, lookup_sum_block<7>, lookup_sum_block<8>};
  std::size_t lines = 1;
  for (std::size_t p = 0; p < count; ++p) {
    if (parts[p].far) lines += ceil_divide(row_bytes(parts[p]), kLineBytes);
  }
  const std::size_t ahead = ceil_divide(kLinesAhead, lines);
  const auto prefetch = [&](std::size_t i) {
    for (std::size_t p = 0; p < count; ++p) {
      if (parts[p].far) prefetch_bytes(row_of(parts[p], i), row_bytes(parts[p]));
    }
  };
  if (lines > 1) {
    for (std::size_t i = 0; i < smaller(ahead, n); ++i) prefetch(i);
  }
  for (std::size_t i = 0; i < n; ++i) {
    if (lines > 1 && i + ahead < n) prefetch(i + ahead);
    float* y = out + i * out_step;
    const float* start = bias == nullptr ? nullptr : bias + i * bias_step;
    for (std::size_t column = 0; column < width; column += kSumVectors * kLanes) {
      const std::size_t columns = smaller(kSumVectors * kLanes, width - column);
      const std::size_t vectors = ceil_divide(columns, kLanes);
      kBlocks[vectors - 1](start == nullptr ? nullptr : start + column, parts, count, i, column,
                           columns - (vectors - 1) * kLanes, activation == Activation::kRelu,
                           y + column);
    }
    if (activation > Activation::kRelu) activate(activation, y, 0, 1, width);
  }
}

// Products of two vectors lane by lane, summed over whole vectors.
inline VecF dot_lanes(const float* a, const float* b, std::size_t d) {
  if (d < kLanes) return load_first(a, d) * load_first(b, d);
  VecF sum = load(a) * load(b);
  std::size_t j = kLanes;
  for (; j + kLanes <= d; j += kLanes) sum = multiply_add(load(a + j), load(b + j), sum);
  if (j < d) sum = multiply_add(load_first(a + j, d - j), load_first(b + j, d - j), sum);
  return sum;
}

template <class Size>
inline void pair_dots(const float* a, std::size_t a_step, const float* b, std::size_t b_step,
                      const std::int64_t* left, const std::int64_t* right, std::size_t pairs,
                      Size d_of, std::size_t n, float* out) {
  const std::size_t d = d_of();
  for (std::size_t i = 0; i < n; ++i, a += a_step, b += b_step, out += pairs) {
    for (std::size_t p = 0; p < pairs; p += kLanes) {
      const std::size_t count = smaller(kLanes, pairs - p);
      if (count == kLanes) {
        VecF sums[kLanes];
#pragma GCC unroll 16
        for (std::size_t q = 0; q < kLanes; ++q) {
          sums[q] = dot_lanes(a + left[p + q], b + right[p + q], d);
        }
        store(out + p, sum_each(sums));
      } else {
        VecF sums[kLanes] = {};
        for (std::size_t q = 0; q < count; ++q) {
          sums[q] = dot_lanes(a + left[p + q], b + right[p + q], d);
        }
        store_first(out + p, sum_each(sums), count);
      }
    }
  }
}

void pair_dots_f32(const float* a, std::size_t a_step, const float* b, std::size_t b_step,
                   const std::int64_t* left, const std::int64_t* right, std::size_t pairs,
                   std::size_t d, std::size_t n, float* out) {
  switch (d) {
    case 16:
      pair_dots(a, a_step, b, b_step, left, right, pairs, [] { return std::size_t{16}; }, n, out);
      break;
    case 32:
      pair_dots(a, a_step, b, b_step, left, right, pairs, [] { return std::size_t{32}; }, n, out);
      break;
    default:
      pair_dots(a, a_step, b, b_step, left, right, pairs, [=] { return d; }, n, out);
  }
}

}  // namespace
}  // namespace pyrec
