#pragma once

// Features of Vowpal Wabbit as its hash "strings" has them (J. Langford and others, VW 9): a number
// in decimal digits is added to the seed, any other text is hashed; blanks around are no part of
// it.

#include "hashing/murmur3.h"

namespace pyrec {

struct VowpalWabbit {
  static constexpr const char* kName = "vw";

  static std::uint64_t hash(std::string_view text, const HashSeed& seed) {
    const auto blank = [](char byte) { return static_cast<signed char>(byte) >= 0 && byte <= ' '; };
    while (!text.empty() && blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && blank(text.back())) text.remove_suffix(1);
    std::uint64_t number = 0;
    for (const char byte : text) {
      if (byte < '0' || byte > '9') {
        return murmur3::hash32(text, static_cast<std::uint32_t>(seed.first));
      }
      number = 10 * number + static_cast<std::uint64_t>(byte - '0');
    }
    return number + seed.first;
  }
};

}  // namespace pyrec
