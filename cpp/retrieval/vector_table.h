#pragma once

#include <cstddef>
#include <cstdint>

namespace pyrec {

// What is known of a vector besides its numbers; the last three where it has codes.
struct VectorDetails {
  float bias;          // what its products begin with
  float norm;          // no less than its length
  float scale;         // of its codes
  float residual;      // no less than the length of the vector less the scale times the codes
  std::int32_t start;  // -64 times the sum of its codes
};

// Where the vectors of a store lie, by row. All is aligned for float.
struct VectorTable {
  const std::byte* vectors;
  const std::byte* details;
  const std::byte* codes;      // null: none
  std::size_t width;           // numbers of a vector
  std::size_t vectors_stride;  // bytes, a multiple of those of a float
  std::size_t details_stride;
  std::size_t codes_stride;  // bytes, a multiple of 8: codes of -64 to 64, then zeros
  bool biased;               // whether any bias is not zero

  bool screened() const { return codes != nullptr; }
  const VectorDetails& of(std::size_t row) const {
    return *reinterpret_cast<const VectorDetails*>(details + row * details_stride);
  }
  // Of a vector's codes, or of its numbers.
  std::size_t line_bytes(bool coded) const { return coded ? codes_stride : width * sizeof(float); }
};

}  // namespace pyrec
