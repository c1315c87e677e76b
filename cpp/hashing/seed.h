#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace pyrec {

// What a hash starts from: a number of which most read the lower bits, a pair as SipHash has it, or
// the bytes of a key.
struct HashSeed {
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  std::string_view key;
};

}  // namespace pyrec
