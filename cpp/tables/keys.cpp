#include "tables/keys.h"

namespace pyrec {

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
