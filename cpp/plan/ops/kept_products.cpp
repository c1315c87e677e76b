#include "plan/ops/kept_products.h"

#include <algorithm>
#include <bit>

namespace pyrec {

namespace {

// Batches that fit: what is about to be overwritten is not found any more.
constexpr std::size_t kBatches = 4;
// Of each place, so that few share one.
constexpr std::size_t kSlots = 4;
// What is asked for as many times as there are places, to see whether ids come again, and how much
// longer nothing is kept if they do not.
constexpr std::size_t kRounds = 2;
constexpr std::size_t kRest = 8;

std::size_t places_for(std::size_t width, std::size_t most_ids, std::size_t bytes) {
  return std::max(bytes / sizeof(float) / std::max<std::size_t>(width, 1), kBatches * most_ids);
}

}  // namespace

KeptProducts::KeptProducts(std::size_t width, std::size_t most_ids, std::size_t bytes)
    : width_(width),
      most_ids_(most_ids),
      ids_(places_for(width, most_ids, bytes), -1),
      slots_(std::bit_ceil(kSlots * ids_.size())),
      shift_(64 - std::countr_zero(slots_.size())),
      products_(ids_.size() * width, ids_.size() * width) {
  products_.commit(ids_.size() * width);
}

std::size_t KeptProducts::slot_of(std::int64_t id) const {
  return static_cast<std::size_t>(static_cast<std::uint64_t>(id) * 0x9E3779B97F4A7C15U >> shift_);
}

std::size_t KeptProducts::place(std::span<const std::int64_t> ids, std::int64_t* places,
                                std::int64_t* missing) {
  // The missing ones lie side by side, and none of them where one that is found does.
  if (next_ + ids.size() > ids_.size() || resting_ > 0) next_ = 0;
  std::fill_n(ids_.begin() + static_cast<std::ptrdiff_t>(next_), ids.size(), -1);
  missing_ = 0;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::int64_t id = ids[i];
    std::uint32_t& slot = slots_[slot_of(id)];
    if (ids_[slot] != id) {
      slot = static_cast<std::uint32_t>(next_);
      ids_[next_++] = id;
      missing[missing_++] = id;
    }
    places[i] = slot;
  }
  count(ids.size());
  return missing_;
}

void KeptProducts::count(std::size_t asked) {
  if (resting_ > 0) {
    resting_ -= std::min(resting_, asked);
    return;
  }
  asked_ += asked;
  not_found_ += missing_;
  const std::size_t round = kRounds * ids_.size();
  if (asked_ < round) return;
  if (4 * not_found_ > 3 * asked_) resting_ = kRest * round;
  asked_ = 0;
  not_found_ = 0;
}

}  // namespace pyrec
