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

  static bool encode(const float* row, std::size_t width, unsigned char* made) {
    constexpr float kLevels = 127, kMost = 0x1.fffffep+127f;
    float largest = 0;
    bool finite = true;
    for (std::size_t j = 0; j < width; ++j) {
      const float magnitude = __builtin_fabsf(row[j]);
      finite &= magnitude <= kMost;
      largest = magnitude > largest ? magnitude : largest;
    }
    float scale = largest / kLevels;
    // The next number towards 0: 127 times it is still finite.
    std::uint32_t bits;
    const float quotient = kMost / kLevels;
    __builtin_memcpy(&bits, &quotient, sizeof bits);
    --bits;
    float most;
    __builtin_memcpy(&most, &bits, sizeof most);
    if (scale > most) scale = most;
    if (!finite) scale = __builtin_nanf("");
    const bool usable = scale > 0;
    // Adding it rounds numbers of this size to whole ones, ties to even.
    constexpr float kWhole = 0x1.8p+23f;
    for (std::size_t j = 0; j < width; ++j) {
      float number = usable ? row[j] / scale : 0;
      number = number > kLevels ? kLevels : number < -kLevels ? -kLevels : number;
      number = (number + kWhole) - kWhole;
      made[j] = static_cast<unsigned char>(static_cast<std::int8_t>(number));
    }
    for (std::size_t j = width; j < scale_at(width); ++j) made[j] = 0;
    __builtin_memcpy(made + scale_at(width), &scale, sizeof scale);
    return true;
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
