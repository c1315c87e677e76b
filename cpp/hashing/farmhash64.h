#pragma once

// Fingerprint64 of FarmHash (G. Pike, 2014), which TensorFlow's to_hash_bucket_fast takes.

#include "hashing/city_family.h"
#include "hashing/seed.h"

namespace pyrec {

struct FarmHash64 {
  static constexpr const char* kName = "farmhash64";

  static std::uint64_t hash(std::string_view text, const HashSeed&) {
    return city::by_length(text, &upto64, &longer);
  }

 private:
  static std::uint64_t upto64(const char* at, std::size_t size) {
    using city::k2;
    const std::uint64_t factor = city::factor_of(size);
    const std::uint64_t a = read64(at) * k2, b = read64(at + 8);
    const std::uint64_t c = read64(at + size - 8) * factor, d = read64(at + size - 16) * k2;
    const std::uint64_t y = std::rotr(a + b, 43) + std::rotr(c, 30) + d;
    const std::uint64_t z = city::join(y, a + std::rotr(b + k2, 18) + c, factor);
    const std::uint64_t e = read64(at + 16) * factor, f = read64(at + 24);
    const std::uint64_t g = (y + read64(at + size - 32)) * factor;
    const std::uint64_t h = (z + read64(at + size - 24)) * factor;
    return city::join(std::rotr(e + f, 43) + std::rotr(g, 30) + h, e + std::rotr(f + a, 18) + g,
                      factor);
  }

  static std::uint64_t longer(const char* at, std::size_t size) {
    using city::k0, city::k1, city::k2;
    constexpr std::uint64_t kStart = 81;
    city::State state;
    state.y = kStart * k1 + 113;
    state.z = city::shift_mix(state.y * k2 + 113) * k2;
    state.x = kStart * k2 + read64(at);
    const std::size_t rest = (size - 1) % 64;
    const char* const last = at + size - 64;
    for (const char* const end = at + (size - 1 - rest); at != end; at += 64) state.round(at);
    const std::uint64_t factor = k1 + ((state.z & 0xff) << 1);
    state.w.first += rest;
    state.v.first += state.w.first;
    state.w.first += state.v.first;
    state.round(last, factor, 9);
    const auto& [x, y, z, v, w] = state;
    return city::join(city::join(v.first, w.first, factor) + city::shift_mix(y) * k0 + z,
                      city::join(v.second, w.second, factor) + x, factor);
  }
};

}  // namespace pyrec
