#pragma once

// Rows of tables side by side.

#include "kernels/lookup_parts.inl.h"

namespace pyrec {
namespace {

constexpr std::size_t kLookupRows = 16;  // taken at a time, and prefetched as many ahead

// Copies rows [begin, end) of n; `width_of` gives the width, as a constant where that makes the
// copy a few moves.
template <class Of, class Width>
inline void copy_rows(const LookupPart& part, Width width_of, std::size_t begin, std::size_t end,
                      std::size_t n, float* out, std::size_t out_step) {
  const std::size_t width = width_of();
  const std::size_t bytes = Of::row_bytes(width);
  for (std::size_t i = begin; i < end; ++i, out += out_step) {
    if (part.far && i + kLookupRows < n) prefetch_bytes(row_of(part, i + kLookupRows), bytes);
    const typename Of::Reader row(row_of(part, i), width);
    std::size_t j = 0;
    for (; j + kLanes <= width; j += kLanes) store(out + j, row.read(j));
    if (j < width) store_first(out + j, row.read_first(j, width - j), width - j);
  }
}

inline void copy_part(const LookupPart& part, std::size_t begin, std::size_t end, std::size_t n,
                      float* out, std::size_t out_step) {
  with_codec(part.codec, [&](auto codec) {
    const auto copy = [&](auto width_of) {
      copy_rows<decltype(codec)>(part, width_of, begin, end, n, out, out_step);
    };
    if (part.width == 16) {
      copy([] { return std::size_t{16}; });
    } else if (part.width == 1) {
      copy([] { return std::size_t{1}; });
    } else {
      copy([&] { return part.width; });
    }
  });
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

}  // namespace
}  // namespace pyrec
