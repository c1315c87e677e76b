#include "selection/sort_entries.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <utility>

namespace pyrec {
namespace {

// So few entries are compared. More are put in order by their bytes, the last one first: that takes
// the same steps whatever the entries are, and none of them waits for a branch.
constexpr std::size_t kCompared = 64;

constexpr unsigned kBytes = sizeof(Entry), kRowBytes = 4, kBits = 8;
constexpr std::size_t kValues = std::size_t{1} << kBits;

constexpr std::size_t byte_of(Entry entry, unsigned byte) {
  return static_cast<std::size_t>(entry >> byte * kBits) % kValues;
}

bool has_rising_rows(const std::vector<Entry>& entries) {
  for (std::size_t i = 1; i < entries.size(); ++i) {
    if (row_of(entries[i]) < row_of(entries[i - 1])) return false;
  }
  return true;
}

void sort_by_bytes(std::vector<Entry>& entries) {
  // Equal scores keep their order.
  const unsigned first = has_rising_rows(entries) ? kRowBytes : 0;
  Entry apart = 0;
  for (const Entry entry : entries) apart |= entry ^ entries.front();
  std::vector<Entry> sorted(entries.size());
  for (unsigned byte = first; byte < kBytes; ++byte) {
    if (byte_of(apart, byte) == 0) continue;
    std::array<std::uint32_t, kValues> places{};
    for (const Entry entry : entries) ++places[byte_of(entry, byte)];
    std::uint32_t before = 0;
    for (std::size_t value = kValues; value-- > 0;) before += std::exchange(places[value], before);
    for (const Entry entry : entries) sorted[places[byte_of(entry, byte)]++] = entry;
    entries.swap(sorted);
  }
}

}  // namespace

void sort_first(std::vector<Entry>& entries, std::size_t k) {
  constexpr std::size_t kSpare = 4;
  if (k <= kCompared || entries.size() > kSpare * k) keep_first(entries, k);
  if (entries.size() <= kCompared) {
    std::sort(entries.begin(), entries.end(), std::greater<>{});
  } else {
    sort_by_bytes(entries);
  }
  if (entries.size() > k) entries.resize(k);
}

}  // namespace pyrec
