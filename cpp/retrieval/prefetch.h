#pragma once

#include <cstddef>

namespace pyrec {

// Brings what is read soon into the second level of the cache.
inline void prefetch_bytes(const void* begin, std::size_t bytes) {
  constexpr std::size_t kLine = 64;
  const auto* p = static_cast<const std::byte*>(begin);
  for (std::size_t at = 0; at < bytes; at += kLine) __builtin_prefetch(p + at, 0, 2);
}

}  // namespace pyrec
