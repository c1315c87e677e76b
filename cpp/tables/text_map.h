#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace pyrec {

// Strings and their places; of equal strings the first one's. Immutable. Strings of one bucket lie
// one after another with their places, so that a look at one takes two lines of the cache.
class TextMap {
 public:
  TextMap() = default;
  explicit TextMap(std::span<const std::string> texts);

  // The place of a string, or -1.
  std::int64_t find(std::string_view text) const;
  // The same of many, which takes less time for each. Views of the same bytes, as elements of a
  // dictionary are, are mostly looked for once.
  void find(std::span<const std::string_view> texts, std::span<std::int64_t> places) const;

  // Brings what a look at the first of some strings reads into the cache: in a first round where
  // their buckets begin, in a second one the buckets.
  void prefetch_starts(std::span<const std::string_view> texts) const;
  void prefetch_buckets(std::span<const std::string_view> texts) const;

 private:
  std::size_t bucket_of(std::string_view text) const;
  void prefetch(std::size_t bucket) const;
  std::int64_t find(std::string_view text, std::size_t bucket) const;

  std::shared_ptr<std::byte> memory_;  // of both
  // Each record is a place, a length and the bytes, filled up to whole words.
  const std::uint32_t* records_ = nullptr;
  // Of each bucket in the records, and the end of the last one.
  const std::uint32_t* starts_ = nullptr;
  std::size_t buckets_ = 0;  // 0: there are no strings
  std::uint64_t seed_ = 0;
};

}  // namespace pyrec
