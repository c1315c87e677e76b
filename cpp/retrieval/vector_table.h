#pragma once

#include <cstddef>
#include <cstdint>

namespace pyrec {

// What is known of a vector besides its numbers; the last four where it has codes.
struct VectorDetails {
  float bias;          // what its products begin with
  float norm;          // no less than its length
  float scale;         // of its codes
  float residual;      // no less than the length of the vector less the scale times the codes
  std::int32_t start;  // -64 times the sum of its codes
  // Of its coarse codes the scale in the upper half, in the lower one the residual, both as
  // bfloat16.
  std::uint32_t coarse;
};

// What lies by row.
enum class Form { kVectors, kCodes };

// Where the vectors of a store lie, by row. All is aligned for float.
struct VectorTable {
  const std::byte* vectors;
  const std::byte* details;
  const std::byte* codes;      // null: none
  const std::byte* coarse;     // null: none, or they are not to be read
  std::size_t width;           // numbers of a vector
  std::size_t vectors_stride;  // bytes, a multiple of those of a float
  std::size_t details_stride;
  std::size_t codes_stride;   // bytes, a multiple of 8: codes of -64 to 64, then zeros
  std::size_t coarse_stride;  // bytes, a multiple of 8: codes of -7 to 7 with 8 added, two in each
  bool biased;                // whether any bias is not zero

  bool screened() const { return codes != nullptr; }
  const VectorDetails& of(std::size_t row) const {
    return *reinterpret_cast<const VectorDetails*>(details + row * details_stride);
  }
  // What a search reads of all items of a block.
  Form read() const { return screened() ? Form::kCodes : Form::kVectors; }
  // Of one item.
  std::size_t line_bytes(Form form) const {
    return form == Form::kVectors ? width * sizeof(float) : codes_stride;
  }
};

}  // namespace pyrec
