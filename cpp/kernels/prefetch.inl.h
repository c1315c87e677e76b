#pragma once

// Rows that are read soon, brought into the cache.

#include <cstddef>

#include "dispatch/kernels.h"

namespace pyrec {
namespace {

constexpr std::size_t kLineBytes = 64;

inline void prefetch_bytes(const void* begin, std::size_t bytes) {
  const auto* p = static_cast<const unsigned char*>(begin);
  for (std::size_t i = 0; i < bytes; i += kLineBytes) __builtin_prefetch(p + i);
  if (bytes > 0) __builtin_prefetch(p + bytes - 1);
  // To compilers that take a prefetch for nothing at all, a function that does no more than this
  // has no effect, and they drop its calls.
  asm volatile("");
}

// Vectors multiplied for each line that is prefetched meanwhile: more than a line takes to arrive.
constexpr std::size_t kWorkPerLine = 64;

// At most `lines` cache lines of the upcoming rows. No more than a core can wait for at once:
// further ones would hold up what comes after them.
inline void prefetch_some(Upcoming* upcoming, std::size_t lines) {
  constexpr std::size_t kMost = 16;
  if (upcoming == nullptr || upcoming->count == 0) return;
  for (std::size_t i = 0; i < lines && i < kMost && upcoming->count > 0; ++i) {
    const std::size_t row = static_cast<std::size_t>(*upcoming->rows) * upcoming->stride;
    // No array's element: the row number is not checked yet.
    const std::uintptr_t place = upcoming->table + row + upcoming->offset;
    __builtin_prefetch(reinterpret_cast<const void*>(place), 0, 2);
    upcoming->offset += kLineBytes;
    if (upcoming->offset < upcoming->stride) continue;
    upcoming->offset = 0;
    ++upcoming->rows;
    --upcoming->count;
  }
}

}  // namespace
}  // namespace pyrec
