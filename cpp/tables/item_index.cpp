#include "tables/item_index.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <new>

#include "tables/work.h"

namespace pyrec {

namespace {

constexpr std::size_t kAhead = 16;  // keys between a prefetch and its use
constexpr std::size_t kTogether = 128;
constexpr std::size_t kMostPlaces = (std::size_t{1} << 31) - 2;

std::size_t roomy(std::size_t count, std::size_t least) { return std::max(4 * count, least); }

}  // namespace

ItemIndex::ItemIndex(bool text, const Room& room)
    : text_(text),
      seed_(random_seed()),
      place_bits_(static_cast<std::uint32_t>(
          std::min<std::size_t>(31, std::bit_width(2 * room.items + 1024)))),
      slots_count_(room.hashed + room.hashed / 3 + 16),
      most_hashed_(slots_count_ / 4 * 3),
      direct_(room.direct),
      ids_(room.items + 1, roomy(room.items, 1 << 20)),
      rows_(room.items + 1, roomy(room.items, 1 << 20)),
      slots_(slots_count_, slots_count_),
      places_(room.direct, roomy(room.direct, 1 << 20)),
      bytes_(room.bytes + 1, roomy(room.bytes, 1 << 24)) {
  slots_.commit(slots_count_);
  places_.commit(direct_);
}

std::string_view ItemIndex::text_at(std::size_t place) const {
  const auto begin = place == 0 ? 0 : static_cast<std::size_t>(ids_[place - 1]);
  return {bytes_.data() + begin, static_cast<std::size_t>(ids_[place]) - begin};
}

std::size_t ItemIndex::home(std::uint64_t hash) const {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::size_t>(static_cast<Wide>(hash) * slots_count_ >> 64);
}

std::uint32_t ItemIndex::tag(std::uint64_t hash) const {
  return static_cast<std::uint32_t>(hash) & ((std::uint32_t{1} << (32 - place_bits_)) - 1);
}

template <class Key>
ItemIndex::Probe ItemIndex::probe(const Key& key, std::uint64_t hash) const {
  const std::uint32_t wanted = tag(hash), mask = (std::uint32_t{1} << place_bits_) - 1;
  std::size_t at = home(hash);
  for (; slots_[at] != 0; at = at + 1 == slots_count_ ? 0 : at + 1) {
    const std::size_t place = (slots_[at] & mask) - 1;
    if (slots_[at] >> place_bits_ == wanted && same(place, key)) {
      return {at, static_cast<std::int64_t>(place)};
    }
  }
  return {at, kAbsent};
}

std::int64_t ItemIndex::place_of(const Keys& keys, std::size_t index) const {
  if (text_) return probe(keys.at(index), hash_key(keys.at(index), seed_)).place;
  const std::int64_t key = keys.numbers[index];
  if (is_direct(key)) return std::int64_t{places_[static_cast<std::size_t>(key)]} - 1;
  return probe(key, hash_key(key, seed_)).place;
}

void ItemIndex::prefetch(const Keys& keys, std::size_t index) const {
  if (index >= keys.size()) return;
  if (text_) {
    __builtin_prefetch(&slots_[home(hash_key(keys.at(index), seed_))]);
  } else if (const std::int64_t key = keys.numbers[index]; is_direct(key)) {
    __builtin_prefetch(&places_[static_cast<std::size_t>(key)]);
  } else {
    __builtin_prefetch(&slots_[home(hash_key(key, seed_))]);
  }
}

void ItemIndex::find(const Keys& keys, std::span<std::int64_t> rows,
                     std::span<std::int64_t> places) const {
  std::array<std::int64_t, kTogether> found;
  std::array<std::uint64_t, kTogether> hashes;
  std::array<std::size_t, kTogether> likely;
  const std::size_t mask = (std::size_t{1} << place_bits_) - 1;
  for (std::size_t begin = 0; begin < keys.size(); begin += kTogether) {
    const std::size_t count = std::min(kTogether, keys.size() - begin);
    for (std::size_t i = 0; i < count; ++i) {
      if (text_) {
        hashes[i] = hash_key(keys.at(begin + i), seed_);
        __builtin_prefetch(&slots_[home(hashes[i])]);
      } else {
        prefetch(keys, begin + i);
      }
    }
    // Where a key most likely lies; whether it does is seen when its id is there.
    for (std::size_t i = 0; i < count; ++i) {
      const std::int64_t key = text_ ? 0 : keys.numbers[begin + i];
      const bool direct = !text_ && is_direct(key);
      if (!text_ && !direct) hashes[i] = hash_key(key, seed_);
      const std::size_t next =
          direct ? places_[static_cast<std::size_t>(key)] : slots_[home(hashes[i])] & mask;
      likely[i] = next;
      if (next == 0) continue;
      __builtin_prefetch(&rows_[next - 1]);
      if (!direct) __builtin_prefetch(&ids_[next - 1]);
    }
    for (std::size_t i = 0; text_ && i < count; ++i) {
      if (likely[i] != 0) __builtin_prefetch(text_at(likely[i] - 1).data());
    }
    for (std::size_t i = 0; i < count; ++i) {
      found[i] = text_ ? probe(keys.at(begin + i), hashes[i]).place : place_of(keys, begin + i);
    }
    for (std::size_t i = 0; i < count; ++i) {
      rows[begin + i] = found[i] < 0 ? kAbsent : rows_[static_cast<std::size_t>(found[i])];
      if (!places.empty()) places[begin + i] = found[i];
    }
  }
}

void ItemIndex::list(std::vector<std::int64_t>& rows, std::vector<std::int64_t>& places) const {
  rows.reserve(live_);
  if (live_ != end_) places.reserve(live_);
  for (std::size_t place = 0; place < end_; ++place) {
    if (rows_[place] == kGone) continue;
    rows.push_back(rows_[place]);
    if (live_ != end_) places.push_back(static_cast<std::int64_t>(place));
  }
}

// The array serves while ids are numbers of which at least every fourth occurs.
std::size_t ItemIndex::direct_with(const Keys& keys) const {
  if (text_ || hashed_ > 0) return direct_;
  work_of_changes += keys.size();
  const auto limit = static_cast<std::int64_t>(
      std::min(4 * (live_ + keys.size()) + 1024, std::min(places_.room(), kMostPlaces)));
  std::int64_t largest = -1;
  for (const std::int64_t key : keys.numbers) {
    if (key < 0 || key >= limit) return direct_;
    largest = std::max(largest, key);
  }
  return std::max(direct_, static_cast<std::size_t>(largest + 1));
}

std::size_t ItemIndex::count_new(const Keys& keys) const {
  std::size_t count = 0;
  work_of_changes += keys.size();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    prefetch(keys, i + kAhead);
    if (place_of(keys, i) < 0) ++count;
  }
  return count;
}

bool ItemIndex::fits(const Keys& keys, std::size_t added) const {
  const std::size_t limit =
      std::min({ids_.room() - 1, rows_.room(), (std::size_t{1} << place_bits_) - 2});
  if (end_ + added > limit) return false;
  if (text_ && bytes_used_ + keys.texts.bytes() > bytes_.room()) return false;
  const bool direct = !text_ && direct_with(keys) > direct_;
  return direct || hashed_ + added <= most_hashed_ ||
         (!text_ && std::ranges::all_of(keys.numbers, [&](auto key) { return is_direct(key); }));
}

bool ItemIndex::fits(const Keys& keys) const {
  return fits(keys, keys.size()) || fits(keys, count_new(keys));
}

void ItemIndex::prepare(const Keys& keys) {
  // Of ids that are not new nothing is written, so their pages take no memory.
  const std::size_t end = end_ + keys.size();
  ids_.commit(std::min(end, ids_.room()));
  rows_.commit(std::min(end, rows_.room()));
  places_.commit(direct_with(keys));
  bytes_.commit(bytes_used_ + keys.texts.bytes());
}

template <class Key>
void ItemIndex::append(const Key& key, Row row) noexcept {
  const std::size_t place = end_++;
  rows_[place] = row;
  ++live_;
  const auto entry = static_cast<std::uint32_t>(place + 1);
  if constexpr (std::is_same_v<Key, std::int64_t>) {
    ids_[place] = key;
    if (is_direct(key)) {
      places_[static_cast<std::size_t>(key)] = entry;
      return;
    }
  } else {
    std::memcpy(bytes_.data() + bytes_used_, key.data(), key.size());
    bytes_used_ += key.size();
    ids_[place] = static_cast<std::int64_t>(bytes_used_);
  }
  const std::uint64_t hash = hash_key(key, seed_);
  std::size_t at = home(hash);
  while (slots_[at] != 0) at = at + 1 == slots_count_ ? 0 : at + 1;
  // Shifted in 64 bits: a tag may have no bit.
  slots_[at] = static_cast<std::uint32_t>(std::uint64_t{tag(hash)} << place_bits_) | entry;
  ++hashed_;
}

void ItemIndex::assign(const Keys& keys, std::span<const Row> rows,
                       std::vector<Row>& replaced) noexcept {
  direct_ = direct_with(keys);
  work_of_changes += keys.size();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    prefetch(keys, i + kAhead);
    const std::int64_t place = place_of(keys, i);
    if (place >= 0) {
      replaced.push_back(rows_[static_cast<std::size_t>(place)]);
      rows_[static_cast<std::size_t>(place)] = rows[i];
    } else if (text_) {
      append(keys.at(i), rows[i]);
    } else {
      append(keys.numbers[i], rows[i]);
    }
  }
}

void ItemIndex::unlink(std::size_t place) noexcept {
  if (!text_ && is_direct(ids_[place])) {
    places_[static_cast<std::size_t>(ids_[place])] = 0;
    return;
  }
  const auto hash_at = [&](std::size_t which) {
    return text_ ? hash_key(text_at(which), seed_) : hash_key(ids_[which], seed_);
  };
  const std::uint32_t mask = (std::uint32_t{1} << place_bits_) - 1;
  const std::size_t last = slots_count_ - 1;
  std::size_t hole = home(hash_at(place));
  while ((slots_[hole] & mask) != place + 1) hole = hole == last ? 0 : hole + 1;
  // What follows moves up, unless that would put it before its home.
  for (std::size_t at = hole == last ? 0 : hole + 1; slots_[at] != 0;
       at = at == last ? 0 : at + 1) {
    const std::size_t start = home(hash_at((slots_[at] & mask) - 1));
    const std::size_t distance = at >= start ? at - start : at + slots_count_ - start;
    const std::size_t gap = at >= hole ? at - hole : at + slots_count_ - hole;
    if (distance >= gap) {
      slots_[hole] = slots_[at];
      hole = at;
    }
  }
  slots_[hole] = 0;
  --hashed_;
}

void ItemIndex::erase(const Keys& keys, std::vector<Row>& replaced) noexcept {
  work_of_changes += keys.size();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    prefetch(keys, i + kAhead);
    const std::int64_t found = place_of(keys, i);
    if (found < 0) continue;
    const auto place = static_cast<std::size_t>(found);
    unlink(place);
    replaced.push_back(rows_[place]);
    rows_[place] = kGone;
    --live_;
  }
}

void ItemIndex::move(std::span<const std::size_t> places, std::span<const Row> rows) noexcept {
  for (std::size_t i = 0; i < places.size(); ++i) rows_[places[i]] = rows[i];
}

ItemIndex::Room ItemIndex::room_for(const Keys& keys) const {
  const std::size_t added = count_new(keys);
  work_of_changes += end_ + keys.size();
  // Some more than now, so that copies are few; nothing more where all is new.
  Room room{live_ + live_ / 4 + added, 0, 0, bytes_used_ + keys.texts.bytes()};
  std::array<std::size_t, 65> widths{};
  const auto count = [&](std::int64_t key) {
    ++widths[static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(key)))];
  };
  for (std::size_t place = 0; !text_ && place < end_; ++place) {
    if (rows_[place] != kGone) count(ids_[place]);
  }
  for (const std::int64_t key : keys.numbers) count(key);
  std::size_t below = 0, direct = 0;
  for (std::size_t width = 0; !text_ && width <= 31; ++width) {
    below += widths[width];
    const std::size_t limit = std::size_t{1} << width;
    if (4 * below + 1024 >= limit && below > 0 && limit <= kMostPlaces) {
      room.direct = limit;
      direct = below;
    }
  }
  room.hashed = direct >= live_ + keys.size() ? 0 : room.items;
  return room;
}

std::unique_ptr<ItemIndex> ItemIndex::copy(const Keys& keys, std::span<const Row> moved) const {
  auto made = std::make_unique<ItemIndex>(text_, room_for(keys));
  made->ids_.commit(live_);
  made->rows_.commit(live_);
  made->bytes_.commit(bytes_used_);
  std::size_t number = 0;
  work_of_changes += end_;
  for (std::size_t place = 0; place < end_; ++place) {
    if (rows_[place] == kGone) continue;
    // A place that is touched soon; gaps only make it another one.
    if (!text_ && place + kAhead < end_ && !made->is_direct(ids_[place + kAhead])) {
      __builtin_prefetch(&made->slots_[made->home(hash_key(ids_[place + kAhead], made->seed_))]);
    }
    const Row row = moved.empty() ? rows_[place] : moved[number++];
    if (text_) {
      made->append(text_at(place), row);
    } else {
      made->append(ids_[place], row);
    }
  }
  return made;
}

}  // namespace pyrec
