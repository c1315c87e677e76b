#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "hashing/key_hash.h"
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

// The last place of each key, in order; none if all are different.
std::vector<std::int64_t> last_of_each(const Keys& keys);

}  // namespace pyrec
