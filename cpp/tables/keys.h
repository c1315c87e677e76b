#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "strings/texts.h"

namespace pyrec {

// Ids of things: whole numbers, or strings.
struct Keys {
  std::span<const std::int64_t> numbers;
  Texts texts;
  bool text = false;

  std::size_t size() const { return text ? texts.size() : numbers.size(); }
  std::string_view at(std::size_t index) const { return texts.at(index); }
};

// A number that nobody can foretell, for each seed another one.
std::uint64_t hash_key(std::int64_t key, std::uint64_t seed);
std::uint64_t hash_key(std::string_view key, std::uint64_t seed);
std::uint64_t random_seed();

// The last place of each key, in order; none if all are different.
std::vector<std::int64_t> last_of_each(const Keys& keys);

}  // namespace pyrec
