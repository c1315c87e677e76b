#include "tables/keys.h"

#include <random>

#include "hashing/bytes.h"

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
  std::vector<std::int64_t> slots(room, -1);
  std::vector<bool> last(count, true);
  bool any = false;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t hash =
        keys.text ? hash_key(keys.at(i), seed) : hash_key(keys.numbers[i], seed);
    std::size_t at = hash % room;
    while (slots[at] >= 0) {
      const auto other = static_cast<std::size_t>(slots[at]);
      if (keys.text ? keys.at(other) == keys.at(i) : keys.numbers[other] == keys.numbers[i]) {
        last[other] = false;
        any = true;
        break;
      }
      at = at + 1 == room ? 0 : at + 1;
    }
    slots[at] = static_cast<std::int64_t>(i);
  }
  for (std::size_t i = 0; any && i < count; ++i) {
    if (last[i]) kept.push_back(static_cast<std::int64_t>(i));
  }
  return kept;
}

}  // namespace pyrec
