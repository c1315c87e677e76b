#include "tables/id_map.h"

#include <bit>
#include <mutex>
#include <random>
#include <utility>

namespace pyrec {

namespace {

constexpr std::size_t kAhead = 16;  // keys between a prefetch and its use
constexpr std::size_t kSmallest = 16;

}  // namespace

IdMap::IdMap(std::int64_t direct, std::int64_t capacity)
    : direct_(static_cast<std::size_t>(direct), kAbsent),
      mutex_(std::make_unique<std::shared_mutex>()) {
  // Nobody can prepare ids that meet in one place.
  std::random_device source;
  seed_ = static_cast<std::uint64_t>(source()) << 32 | source();
  if (capacity > 0) reserve(static_cast<std::size_t>(capacity));
}

std::size_t IdMap::home(std::int64_t key) const {
  std::uint64_t bits = static_cast<std::uint64_t>(key) ^ seed_;
  bits = (bits ^ (bits >> 33)) * 0xff51afd7ed558ccdULL;
  bits = (bits ^ (bits >> 33)) * 0xc4ceb9fe1a85ec53ULL;
  return static_cast<std::size_t>(bits ^ (bits >> 33)) & (slots_.size() - 1);
}

std::int64_t IdMap::size() const {
  const std::shared_lock lock(*mutex_);
  return static_cast<std::int64_t>(size_);
}

bool IdMap::fits(std::span<const std::int64_t> keys) const {
  const std::shared_lock lock(*mutex_);
  std::size_t room = slots_.size() / 2 - hashed_;
  for (const std::int64_t key : keys) {
    if (!is_direct(key) && room-- == 0) return false;
  }
  return true;
}

void IdMap::prefetch(std::span<const std::int64_t> keys, std::size_t index) const {
  if (index >= keys.size()) return;
  const std::int64_t key = keys[index];
  if (is_direct(key)) {
    __builtin_prefetch(&direct_[static_cast<std::size_t>(key)]);
  } else if (!slots_.empty()) {
    __builtin_prefetch(&slots_[home(key)]);
  }
}

void IdMap::find(std::span<const std::int64_t> keys, std::span<std::int64_t> rows) const {
  const std::shared_lock lock(*mutex_);
  for (std::size_t i = 0; i < kAhead; ++i) prefetch(keys, i);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    prefetch(keys, i + kAhead);
    const std::int64_t key = keys[i];
    if (is_direct(key)) {
      rows[i] = direct_[static_cast<std::size_t>(key)];
      continue;
    }
    rows[i] = kAbsent;
    if (slots_.empty()) continue;
    for (std::size_t at = home(key); slots_[at].row != kAbsent;
         at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].key == key) {
        rows[i] = slots_[at].row;
        break;
      }
    }
  }
}

void IdMap::reserve(std::size_t count) {
  const std::size_t wanted = std::bit_ceil(count * 2 < kSmallest ? kSmallest : count * 2);
  if (wanted <= slots_.size()) return;
  const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(wanted, Slot{0, kAbsent}));
  for (const Slot& slot : old) {
    if (slot.row == kAbsent) continue;
    std::size_t at = home(slot.key);
    while (slots_[at].row != kAbsent) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = slot;
  }
}

std::int64_t IdMap::put(std::int64_t key, std::int64_t row) {
  if (is_direct(key)) {
    const std::int64_t before = std::exchange(direct_[static_cast<std::size_t>(key)], row);
    if (before == kAbsent) ++size_;
    return before;
  }
  if (hashed_ >= slots_.size() / 2) reserve(hashed_ + 1);
  std::size_t at = home(key);
  while (slots_[at].row != kAbsent) {
    if (slots_[at].key == key) return std::exchange(slots_[at].row, row);
    at = (at + 1) & (slots_.size() - 1);
  }
  slots_[at] = Slot{key, row};
  ++hashed_;
  ++size_;
  return kAbsent;
}

std::int64_t IdMap::take(std::int64_t key) {
  if (is_direct(key)) {
    const std::int64_t before = std::exchange(direct_[static_cast<std::size_t>(key)], kAbsent);
    if (before != kAbsent) --size_;
    return before;
  }
  if (slots_.empty()) return kAbsent;
  const std::size_t mask = slots_.size() - 1;
  std::size_t hole = home(key);
  while (slots_[hole].row != kAbsent && slots_[hole].key != key) hole = (hole + 1) & mask;
  const std::int64_t before = slots_[hole].row;
  if (before == kAbsent) return kAbsent;
  // What follows moves up, unless that would put it before its home.
  for (std::size_t at = (hole + 1) & mask; slots_[at].row != kAbsent; at = (at + 1) & mask) {
    const std::size_t distance = (at - home(slots_[at].key)) & mask;
    if (distance >= ((at - hole) & mask)) {
      slots_[hole] = slots_[at];
      hole = at;
    }
  }
  slots_[hole].row = kAbsent;
  --hashed_;
  --size_;
  return before;
}

void IdMap::assign(std::span<const std::int64_t> keys, std::span<const std::int64_t> rows,
                   std::span<std::int64_t> previous) {
  const std::unique_lock lock(*mutex_);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    prefetch(keys, i + kAhead);
    previous[i] = put(keys[i], rows[i]);
  }
}

void IdMap::erase(std::span<const std::int64_t> keys, std::span<std::int64_t> previous) {
  const std::unique_lock lock(*mutex_);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    prefetch(keys, i + kAhead);
    previous[i] = take(keys[i]);
  }
}

std::unique_ptr<IdMap> IdMap::copy(std::int64_t direct, std::int64_t capacity) const {
  const std::shared_lock lock(*mutex_);
  auto made = std::make_unique<IdMap>(direct, capacity);
  for (std::size_t i = 0; i < direct_.size(); ++i) {
    if (direct_[i] != kAbsent) made->put(static_cast<std::int64_t>(i), direct_[i]);
  }
  for (const Slot& slot : slots_) {
    if (slot.row != kAbsent) made->put(slot.key, slot.row);
  }
  return made;
}

void IdMap::reset_lock() {
  // Not destroyed: what a lost thread has taken may not be.
  static_cast<void>(mutex_.release());
  mutex_ = std::make_unique<std::shared_mutex>();
}

}  // namespace pyrec
