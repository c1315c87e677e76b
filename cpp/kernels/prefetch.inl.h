#pragma once

// Rows that are read soon, brought into the cache.

#include <cstddef>

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

}  // namespace
}  // namespace pyrec
