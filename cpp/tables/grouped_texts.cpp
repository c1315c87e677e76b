#include "tables/grouped_texts.h"

#include <cstddef>
#include <string_view>

#include "hashing/key_hash.h"

namespace pyrec {

namespace {

// Open addressing; at least half of the slots are free.
class Slots {
 public:
  Slots() : seed_(random_seed()), slots_(kFew) {}

  // The place of a string among the first ones, which it joins if it is not among them.
  std::int64_t place_of(const Texts& texts, std::size_t index, std::vector<std::int64_t>& firsts) {
    const std::string_view text = texts.at(index);
    const std::uint64_t hash = hash_key(text, seed_);
    std::size_t at = hash & (slots_.size() - 1);
    for (; slots_[at].place >= 0; at = (at + 1) & (slots_.size() - 1)) {
      const Slot& slot = slots_[at];
      const auto first = static_cast<std::size_t>(firsts[static_cast<std::size_t>(slot.place)]);
      if (slot.hash == hash && texts.at(first) == text) return slot.place;
    }
    const auto place = static_cast<std::int64_t>(firsts.size());
    firsts.push_back(static_cast<std::int64_t>(index));
    slots_[at] = {hash, place};
    if (2 * firsts.size() > slots_.size()) grow();
    return place;
  }

 private:
  struct Slot {
    std::uint64_t hash = 0;
    std::int64_t place = -1;
  };
  static constexpr std::size_t kFew = 64;

  void grow() {
    std::vector<Slot> old(2 * slots_.size());
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.place < 0) continue;
      std::size_t at = slot.hash & (slots_.size() - 1);
      while (slots_[at].place >= 0) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = slot;
    }
  }

  std::uint64_t seed_;
  std::vector<Slot> slots_;
};

}  // namespace

GroupedTexts group_texts(const Texts& texts) {
  GroupedTexts made;
  made.places.reserve(texts.size());
  Slots slots;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    made.places.push_back(slots.place_of(texts, i, made.firsts));
  }
  return made;
}

}  // namespace pyrec
