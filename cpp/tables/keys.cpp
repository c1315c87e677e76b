#include "tables/keys.h"

#include <algorithm>
#include <array>
#include <bit>

namespace pyrec {

namespace {

constexpr std::size_t kTogether = 32;  // keys between a prefetch and its use

bool same(const Keys& keys, std::size_t left, std::size_t right) {
  return keys.text ? keys.at(left) == keys.at(right) : keys.numbers[left] == keys.numbers[right];
}

}  // namespace

std::vector<std::int64_t> last_of_each(const Keys& keys) {
  const std::size_t count = keys.size();
  std::vector<std::int64_t> kept;
  if (count < 2) return kept;
  bool rising = !keys.text;
  for (std::size_t i = 1; rising && i < count; ++i) {
    rising = keys.numbers[i - 1] < keys.numbers[i];
  }
  if (rising) return kept;
  const std::uint64_t seed = random_seed();
  const std::size_t room = count + count / 2 + 1;
  // 0, or a key's number + 1 and above it what of its hash tells most others apart.
  std::vector<std::uint64_t> slots(room);
  const int bits = std::bit_width(count);
  const std::uint64_t mask = (std::uint64_t{1} << bits) - 1;
  std::vector<bool> last(count, true);
  bool any = false;
  const auto home = [room](std::uint64_t hash) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::size_t>(static_cast<Wide>(hash) * room >> 64);
  };
  const auto enter = [&](std::size_t number, std::uint64_t hash) {
    std::size_t at = home(hash);
    for (; slots[at] != 0; at = at + 1 == room ? 0 : at + 1) {
      if ((slots[at] ^ hash << bits) > mask) continue;
      const std::size_t other = (slots[at] & mask) - 1;
      if (!same(keys, other, number)) continue;
      last[other] = false;
      any = true;
      break;
    }
    slots[at] = hash << bits | (number + 1);
  };
  std::array<std::uint64_t, kTogether> hashes;
  for (std::size_t begin = 0; begin < count; begin += kTogether) {
    const std::size_t end = std::min(begin + kTogether, count);
    for (std::size_t i = begin; i < end; ++i) {
      hashes[i - begin] = keys.text ? hash_key(keys.at(i), seed) : hash_key(keys.numbers[i], seed);
      __builtin_prefetch(&slots[home(hashes[i - begin])], 1);
    }
    for (std::size_t i = begin; i < end; ++i) enter(i, hashes[i - begin]);
  }
  for (std::size_t i = 0; any && i < count; ++i) {
    if (last[i]) kept.push_back(static_cast<std::int64_t>(i));
  }
  return kept;
}

}  // namespace pyrec
