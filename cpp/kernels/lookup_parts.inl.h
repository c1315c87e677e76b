#pragma once

// Reading the rows that parts of a lookup are.

#include "codecs/codecs.inl.h"
#include "dispatch/kernels.h"
#include "kernels/panels.inl.h"
#include "kernels/prefetch.inl.h"

namespace pyrec {
namespace {

inline std::size_t row_bytes(const LookupPart& part) {
  return with_codec(part.codec, [&](auto codec) { return codec.row_bytes(part.width); });
}

inline const unsigned char* row_of(const LookupPart& part, std::size_t i) {
  const std::size_t row = part.rows == nullptr ? i : static_cast<std::size_t>(part.rows[i]);
  return part.table + row * part.stride;
}

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
