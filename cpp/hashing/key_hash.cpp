#include "hashing/key_hash.h"

#include <random>

#include "strings/bytes.h"

namespace pyrec {

namespace {

std::uint64_t mix(std::uint64_t bits) {
  bits = (bits ^ (bits >> 33)) * 0xff51afd7ed558ccdULL;
  bits = (bits ^ (bits >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return bits ^ (bits >> 33);
}

std::uint64_t fold(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

}  // namespace

std::uint64_t hash_key(std::int64_t key, std::uint64_t seed) {
  return mix(static_cast<std::uint64_t>(key) ^ seed);
}

std::uint64_t hash_key(std::string_view key, std::uint64_t seed) {
  std::uint64_t state = seed ^ (key.size() * 0x9e3779b97f4a7c15ULL);
  const auto take = [&](std::uint64_t part) {
    state = fold(state ^ part ^ 0xa0761d6478bd642fULL, seed | 1) + part;
  };
  const char* const from = key.data();
  const std::size_t size = key.size();
  for (std::size_t at = 0; at + 8 < size; at += 8) take(read64(from + at));
  // The last bytes, some of them for the second time.
  if (size >= 8) {
    take(read64(from + size - 8));
  } else if (size >= 4) {
    take(std::uint64_t{read32(from)} << 32 | read32(from + size - 4));
  } else if (size > 0) {
    const auto byte = [&](std::size_t i) {
      return std::uint64_t{static_cast<unsigned char>(from[i])};
    };
    take(byte(0) | byte(size / 2) << 8 | byte(size - 1) << 16);
  }
  return mix(state ^ seed);
}

std::uint64_t random_seed() {
  std::random_device source;
  return static_cast<std::uint64_t>(source()) << 32 | source();
}

}  // namespace pyrec
