#pragma once

#include <cstdint>
#include <string_view>

namespace pyrec {

// A number that nobody can foretell, for each seed another one.
std::uint64_t hash_key(std::int64_t key, std::uint64_t seed);
std::uint64_t hash_key(std::string_view key, std::uint64_t seed);
std::uint64_t random_seed();

}  // namespace pyrec
