#include "tables/number_map.h"

#include <algorithm>
#include <array>
#include <limits>

#include "hashing/key_hash.h"

namespace pyrec {

namespace {

constexpr std::size_t kTogether = 32;  // numbers between a prefetch and its use
constexpr std::size_t kFarthest = 4;   // numbers for each that is there, which take less than slots

}  // namespace

NumberMap::NumberMap(std::span<const std::uint64_t> numbers) {
  if (numbers.empty()) return;
  const auto [least, most] = std::ranges::minmax(
      numbers, {}, [](std::uint64_t number) { return static_cast<std::int64_t>(number); });
  const std::uint64_t range = most - least;
  const bool fits = numbers.size() <= std::numeric_limits<std::int32_t>::max();
  if (fits && range / kFarthest < numbers.size()) {
    least_ = least;
    near_.assign(range + 1, -1);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      std::int32_t& place = near_[numbers[i] - least];
      if (place < 0) place = static_cast<std::int32_t>(i);
    }
    return;
  }
  slots_.resize(numbers.size() + numbers.size() / 2 + 1);
  seed_ = random_seed();
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    auto& slot = const_cast<Slot&>(slot_of(numbers[i], home(numbers[i])));
    if (slot.place < 0) slot = {numbers[i], static_cast<std::int64_t>(i)};
  }
}

std::size_t NumberMap::home(std::uint64_t number) const {
  __extension__ using Wide = unsigned __int128;
  const std::uint64_t hash = hash_key(static_cast<std::int64_t>(number), seed_);
  return static_cast<std::size_t>(static_cast<Wide>(hash) * slots_.size() >> 64);
}

const NumberMap::Slot& NumberMap::slot_of(std::uint64_t number, std::size_t from) const {
  while (slots_[from].place >= 0 && slots_[from].number != number) {
    from = from + 1 == slots_.size() ? 0 : from + 1;
  }
  return slots_[from];
}

void NumberMap::find(std::span<const std::uint64_t> numbers, std::span<std::int64_t> places) const {
  if (!near_.empty()) {
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const std::uint64_t at = numbers[i] - least_;
      places[i] = at < near_.size() ? near_[at] : -1;
    }
    return;
  }
  if (slots_.empty()) {
    std::ranges::fill(places, -1);
    return;
  }
  std::array<std::size_t, kTogether> homes;
  for (std::size_t begin = 0; begin < numbers.size(); begin += kTogether) {
    const std::size_t count = std::min(kTogether, numbers.size() - begin);
    for (std::size_t i = 0; i < count; ++i) {
      homes[i] = home(numbers[begin + i]);
      __builtin_prefetch(&slots_[homes[i]]);
    }
    for (std::size_t i = 0; i < count; ++i) {
      places[begin + i] = slot_of(numbers[begin + i], homes[i]).place;
    }
  }
}

}  // namespace pyrec
