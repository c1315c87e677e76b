#pragma once

#include <cstddef>
#include <span>

namespace pyrec {

// What records hold of vectors, their parts side by side: the vector, what is known of it, and
// where there are codes these and the coarse ones. Equal to `VectorForm` in Python but for the
// order of double precision sums.
struct VectorEncoding {
  std::size_t width;  // of a vector, at least 1
  bool scaled;        // vectors are divided by their lengths; one of zeros stays as it is
  bool biased;        // products begin with minus half of the square of the length
  bool coded;

  std::size_t details_bytes() const;
  std::size_t code_bytes() const { return coded ? (width + 7) / 8 * 8 : 0; }
  std::size_t coarse_bytes() const { return coded ? (width + 15) / 16 * 8 : 0; }
  std::size_t record_bytes() const {
    return width * sizeof(float) + details_bytes() + code_bytes() + coarse_bytes();
  }
};

// The square of each vector's length; not finite where a number is not, or they are too long.
void square_vectors(const float* vectors, std::size_t width, std::span<double> squares);

// Divides a vector by its length, whose square is given; one of zeros stays as it is.
void scale_vector(double square, std::span<float> vector);

// Writes the records of `count` vectors, which are finite and shorter than 2^60.
void encode_vectors(const VectorEncoding& form, const float* vectors, std::size_t count,
                    std::byte* records);

}  // namespace pyrec
