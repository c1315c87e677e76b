#pragma once

// Reading the rows that parts of a lookup are.

#include "dispatch/kernels.h"
#include "kernels/panels.inl.h"
#include "kernels/prefetch.inl.h"

namespace pyrec {
namespace {

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

// Reads vectors of one row, or adds them to sums. Rows are aligned to 4 bytes.
template <Codec kCodec>
struct RowReader;

template <>
struct RowReader<Codec::kF32> {
  RowReader(const unsigned char* row, std::size_t) : row(reinterpret_cast<const float*>(row)) {}
  VecF read(std::size_t j) const { return load(row + j); }
  VecF read_first(std::size_t j, std::size_t count) const { return load_first(row + j, count); }
  VecF add(std::size_t j, VecF sum) const { return sum + read(j); }
  VecF add_first(std::size_t j, std::size_t count, VecF sum) const {
    return sum + read_first(j, count);
  }
  float number() const { return *row; }
  void skip(std::size_t count) { row += count; }
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
  VecF add(std::size_t j, VecF sum) const { return sum + read(j); }
  VecF add_first(std::size_t j, std::size_t count, VecF sum) const {
    return sum + read_first(j, count);
  }
  float number() const {
    const std::uint32_t bits = static_cast<std::uint32_t>(*row) << 16;
    float number;
    __builtin_memcpy(&number, &bits, sizeof number);
    return number;
  }
  void skip(std::size_t count) { row += count; }
  const std::uint16_t* row;
};

template <>
struct RowReader<Codec::kI8> {
  RowReader(const unsigned char* row, std::size_t width)
      : row(reinterpret_cast<const std::int8_t*>(row)),
        scale(*reinterpret_cast<const float*>(row + ceil_divide(width, 4) * 4)) {}
  VecF read(std::size_t j) const { return load_i8(row + j) * broadcast(scale); }
  VecF read_first(std::size_t j, std::size_t count) const {
    return load_first_i8(row + j, count) * broadcast(scale);
  }
  VecF add(std::size_t j, VecF sum) const {
    return multiply_add(load_i8(row + j), broadcast(scale), sum);
  }
  VecF add_first(std::size_t j, std::size_t count, VecF sum) const {
    return multiply_add(load_first_i8(row + j, count), broadcast(scale), sum);
  }
  float number() const { return static_cast<float>(*row) * scale; }
  void skip(std::size_t count) { row += count; }
  const std::int8_t* row;
  float scale;
};

// Prefetches the rows that are read some rows later.
class RowsAhead {
 public:
  RowsAhead(const LookupPart* parts, std::size_t count, std::size_t n)
      : parts_(parts), count_(count), n_(n) {
    constexpr std::size_t kLinesAhead = 64;  // about what a core can have under way
    std::size_t lines = 0;
    for (std::size_t p = 0; p < count; ++p) {
      if (parts[p].far) lines += ceil_divide(row_bytes(parts[p]), kLineBytes);
    }
    if (lines == 0) return;
    ahead_ = ceil_divide(kLinesAhead, lines);
    for (std::size_t i = 0; i < smaller(ahead_, n); ++i) prefetch(i);
  }

  // To be told before row i is read.
  void reach(std::size_t i) const {
    if (ahead_ > 0 && i + ahead_ < n_) prefetch(i + ahead_);
  }

 private:
  void prefetch(std::size_t i) const {
    for (std::size_t p = 0; p < count_; ++p) {
      if (parts_[p].far) prefetch_bytes(row_of(parts_[p], i), row_bytes(parts_[p]));
    }
  }

  const LookupPart* parts_;
  std::size_t count_;
  std::size_t n_;
  std::size_t ahead_ = 0;
};

}  // namespace
}  // namespace pyrec
