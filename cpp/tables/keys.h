#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace pyrec {

// Ids of things: whole numbers, or bytes of text one after another.
struct Keys {
  std::span<const std::int64_t> numbers;
  std::string_view bytes;
  std::span<const std::int64_t> ends;  // of each text among the bytes
  bool text = false;

  std::size_t size() const { return text ? ends.size() : numbers.size(); }
  std::string_view at(std::size_t index) const {
    const auto begin = index == 0 ? 0 : static_cast<std::size_t>(ends[index - 1]);
    return bytes.substr(begin, static_cast<std::size_t>(ends[index]) - begin);
  }
};

// A number that nobody can foretell, for each seed another one.
std::uint64_t hash_key(std::int64_t key, std::uint64_t seed);
std::uint64_t hash_key(std::string_view key, std::uint64_t seed);
std::uint64_t random_seed();

// The last place of each key, in order; none if all are different.
std::vector<std::int64_t> last_of_each(const Keys& keys);

}  // namespace pyrec
