#include "tables/text_map.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>
#include <vector>

#include "core/error.h"
#include "hashing/key_hash.h"
#include "strings/bytes.h"
#include "strings/recent.h"
#include "tables/shelf.h"

namespace pyrec {

namespace {

constexpr std::size_t kHead = 2;  // words of a record before its bytes
constexpr std::size_t kWord = sizeof(std::uint32_t);
constexpr std::size_t kTogether = 32;  // strings between a prefetch and its use
constexpr int kRememberedBits = 8;     // of the number of strings that are remembered

std::size_t words_of(std::size_t size) { return kHead + (size + kWord - 1) / kWord; }

// Most strings are short, and a call takes longer than comparing them.
bool same(const char* a, const char* b, std::size_t size) {
  if (size >= 8) {
    // The ends first: what names have in common is mostly in front.
    if (read64(a + size - 8) != read64(b + size - 8)) return false;
    for (std::size_t at = 0; at + 8 < size; at += 8) {
      if (read64(a + at) != read64(b + at)) return false;
    }
    return true;
  }
  if (size >= 4) {
    return read32(a) == read32(b) && read32(a + size - 4) == read32(b + size - 4);
  }
  return size == 0 || (a[0] == b[0] && a[size / 2] == b[size / 2] && a[size - 1] == b[size - 1]);
}

}  // namespace

TextMap::TextMap(std::span<const std::string> texts) : seed_(random_seed()) {
  std::size_t words = 0;
  for (const std::string& text : texts) words += words_of(text.size());
  constexpr std::size_t kMost = std::numeric_limits<std::uint32_t>::max();
  if (texts.size() > std::numeric_limits<std::int32_t>::max() || words > kMost) {
    throw OpError(ErrorKind::kModel, "more strings than a map holds");
  }
  if (texts.empty()) return;
  buckets_ = texts.size();
  memory_ = take_from_shelf((buckets_ + 1 + words) * kWord);
  auto* const starts = reinterpret_cast<std::uint32_t*>(memory_.get());
  std::uint32_t* const records = starts + buckets_ + 1;
  starts_ = starts;
  records_ = records;
  std::vector<std::uint32_t> buckets, ends(buckets_ + 1);
  for (const std::string& text : texts) {
    buckets.push_back(static_cast<std::uint32_t>(bucket_of(text)));
    ++ends[buckets.back() + 1];
  }
  std::partial_sum(ends.begin(), ends.end(), ends.begin());
  std::vector<std::uint32_t> order(texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    order[ends[buckets[i]]++] = static_cast<std::uint32_t>(i);
  }
  // Now an end is where the bucket's strings end in that order.
  std::size_t next = 0, end = 0;
  for (std::size_t bucket = 0; bucket < buckets_; ++bucket) {
    starts[bucket + 1] = static_cast<std::uint32_t>(end);
    for (; next < ends[bucket]; ++next) {
      const std::string& text = texts[order[next]];
      if (find(text, bucket) >= 0) continue;
      std::uint32_t* const record = records + end;
      record[0] = order[next];
      record[1] = static_cast<std::uint32_t>(text.size());
      if (!text.empty()) std::memcpy(record + kHead, text.data(), text.size());
      end += words_of(text.size());
      starts[bucket + 1] = static_cast<std::uint32_t>(end);
    }
  }
}

std::size_t TextMap::bucket_of(std::string_view text) const {
  __extension__ using Wide = unsigned __int128;
  const std::uint64_t hash = hash_key(text, seed_);
  return static_cast<std::size_t>(static_cast<Wide>(hash) * buckets_ >> 64);
}

void TextMap::prefetch(std::size_t bucket) const {
  constexpr std::size_t kLine = 64 / kWord;
  const std::uint32_t* record = records_ + starts_[bucket];
  __builtin_prefetch(record);
  __builtin_prefetch(record + kLine - 1);
}

std::int64_t TextMap::find(std::string_view text, std::size_t bucket) const {
  const std::uint32_t* record = records_ + starts_[bucket];
  const std::uint32_t* const end = records_ + starts_[bucket + 1];
  for (; record != end; record += words_of(record[1])) {
    if (record[1] == text.size() &&
        same(reinterpret_cast<const char*>(record + kHead), text.data(), text.size())) {
      return record[0];
    }
  }
  return -1;
}

std::int64_t TextMap::find(std::string_view text) const {
  return buckets_ == 0 ? -1 : find(text, bucket_of(text));
}

void TextMap::find(std::span<const std::string_view> texts, std::span<std::int64_t> places) const {
  if (texts.size() == 1 || buckets_ == 0) {
    for (std::size_t i = 0; i < texts.size(); ++i) places[i] = find(texts[i]);
    return;
  }
  // For few strings it would take longer than it saves.
  std::optional<Recent<std::int64_t, kRememberedBits>> memory;
  if (texts.size() >= std::size_t{1} << kRememberedBits >> 2) memory.emplace();
  std::array<std::uint32_t, kTogether> buckets, unknown;
  for (std::size_t begin = 0; begin < texts.size(); begin += kTogether) {
    const std::size_t count = std::min(kTogether, texts.size() - begin);
    std::size_t left = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::string_view text = texts[begin + i];
      if (const std::int64_t* place = memory ? memory->find(ViewKey::of(text)) : nullptr) {
        places[begin + i] = *place;
        continue;
      }
      buckets[left] = static_cast<std::uint32_t>(bucket_of(text));
      __builtin_prefetch(&starts_[buckets[left]]);
      unknown[left++] = static_cast<std::uint32_t>(begin + i);
    }
    for (std::size_t i = 0; i < left; ++i) prefetch(buckets[i]);
    for (std::size_t i = 0; i < left; ++i) {
      const std::string_view text = texts[unknown[i]];
      const std::int64_t place = find(text, buckets[i]);
      places[unknown[i]] = place;
      if (memory) memory->add(ViewKey::of(text), place);
    }
  }
}

void TextMap::prefetch_starts(std::span<const std::string_view> texts) const {
  if (buckets_ == 0) return;
  for (const std::string_view text : texts.first(std::min(texts.size(), kTogether))) {
    __builtin_prefetch(&starts_[bucket_of(text)]);
  }
}

void TextMap::prefetch_buckets(std::span<const std::string_view> texts) const {
  if (buckets_ == 0) return;
  for (const std::string_view text : texts.first(std::min(texts.size(), kTogether))) {
    prefetch(bucket_of(text));
  }
}

}  // namespace pyrec
