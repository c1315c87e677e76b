#include "tables/text_map.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "core/error.h"
#include "hashing/key_hash.h"

namespace pyrec {

TextMap::TextMap(std::span<const std::string> texts) : seed_(random_seed()) {
  if (texts.size() > std::numeric_limits<std::int32_t>::max()) {
    throw OpError(ErrorKind::kModel, "more than 2^31 strings");
  }
  std::size_t bytes = 0;
  for (const std::string& text : texts) bytes += text.size();
  bytes_.reserve(bytes);
  ends_.reserve(texts.size() + 1);
  ends_.push_back(0);
  slots_.resize(std::bit_ceil(2 * texts.size() + 1));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    bytes_ += texts[i];
    ends_.push_back(bytes_.size());
    if (find(texts[i]) >= 0) continue;
    const std::uint64_t hash = hash_key(texts[i], seed_);
    std::size_t at = hash & (slots_.size() - 1);
    while (slots_[at].place >= 0) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {static_cast<std::uint32_t>(hash >> 32), static_cast<std::int32_t>(i)};
  }
}

std::int64_t TextMap::find(std::string_view text) const {
  if (slots_.empty()) return -1;
  const std::uint64_t hash = hash_key(text, seed_);
  const auto upper = static_cast<std::uint32_t>(hash >> 32);
  for (std::size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[at];
    if (slot.place < 0) return -1;
    if (slot.hash != upper) continue;
    const auto place = static_cast<std::size_t>(slot.place);
    const std::string_view known(bytes_.data() + ends_[place], ends_[place + 1] - ends_[place]);
    if (known == text) return slot.place;
  }
}

}  // namespace pyrec
