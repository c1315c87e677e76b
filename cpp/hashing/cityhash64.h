#pragma once

// CityHash64 of version 1.1 (G. Pike and J. Alakuijala, 2013).

#include "hashing/city_family.h"
#include "hashing/seed.h"

namespace pyrec {

struct CityHash64 {
  static constexpr const char* kName = "cityhash64";

  static std::uint64_t hash(std::string_view text, const HashSeed&) {
    return city::by_length(text, &upto64, &longer);
  }

 private:
  static std::uint64_t join(std::uint64_t u, std::uint64_t v) {
    return city::join(u, v, 0x9ddfea08eb382d69);
  }

  static std::uint64_t upto64(const char* at, std::size_t size) {
    using city::k2;
    const std::uint64_t factor = city::factor_of(size);
    const std::uint64_t a = read64(at) * k2, b = read64(at + 8);
    const std::uint64_t c = read64(at + size - 24), d = read64(at + size - 32);
    const std::uint64_t e = read64(at + 16) * k2, f = read64(at + 24) * 9;
    const std::uint64_t g = read64(at + size - 8), h = read64(at + size - 16) * factor;
    const std::uint64_t u = std::rotr(a + g, 43) + (std::rotr(b, 30) + c) * 9;
    const std::uint64_t v = ((a + g) ^ d) + f + 1;
    const std::uint64_t w = __builtin_bswap64((u + v) * factor) + h;
    const std::uint64_t x = std::rotr(e + f, 42) + c;
    const std::uint64_t y = (__builtin_bswap64((v + w) * factor) + g) * factor;
    const std::uint64_t z = e + f + c;
    const std::uint64_t p = __builtin_bswap64((x + z) * factor + y) + b;
    return city::shift_mix((z + p) * factor + d + h) * factor + x;
  }

  static std::uint64_t longer(const char* at, std::size_t size) {
    using city::k1;
    city::State state;
    state.x = read64(at + size - 40);
    state.y = read64(at + size - 16) + read64(at + size - 56);
    state.z = join(read64(at + size - 48) + size, read64(at + size - 24));
    state.v = city::State::weak(at + size - 64, size, state.z);
    state.w = city::State::weak(at + size - 32, state.y + k1, state.x);
    state.x = state.x * k1 + read64(at);
    for (const char* const end = at + (size - 1) / 64 * 64; at != end; at += 64) state.round(at);
    const auto& [x, y, z, v, w] = state;
    return join(join(v.first, w.first) + city::shift_mix(y) * k1 + z, join(v.second, w.second) + x);
  }
};

}  // namespace pyrec
