#pragma once

// Signed bytes, zeros up to a multiple of 4, then the float32 scale that they are multiplied with.

#include <cstddef>
#include <cstdint>

namespace pyrec {
namespace {

struct I8 {
  static constexpr const char* kName = "i8";
  static constexpr std::size_t scale_at(std::size_t width) { return (width + 3) / 4 * 4; }
  static constexpr std::size_t row_bytes(std::size_t width) {
    return scale_at(width) + sizeof(float);
  }

  struct Reader {
    Reader(const unsigned char* row, std::size_t width)
        : row(reinterpret_cast<const std::int8_t*>(row)),
          scale(*reinterpret_cast<const float*>(row + scale_at(width))) {}
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
};

}  // namespace
}  // namespace pyrec
