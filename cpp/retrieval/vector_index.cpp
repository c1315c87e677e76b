#include "retrieval/vector_index.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "core/bits.h"
#include "core/error.h"
#include "retrieval/group_search.h"

namespace pyrec {

namespace {

// So many queries that they stay in cache with a block of items.
constexpr std::size_t kQueries = 96;

// What the entries of one thread may take, where queries are many and k is large.
constexpr std::size_t kEntryBytes = std::size_t{1} << 26;

constexpr std::uint32_t kNone = ~std::uint32_t{0};

// Fewer than one of so many rows are sorted; of more it takes less to look at every row.
constexpr std::size_t kFewRows = 16;

// A bit for each of a block's flags, which are not zero where it is set.
std::uint64_t bits_of(const std::uint8_t* flags) {
  static_assert(VectorIndex::kBlock == 64 && std::endian::native == std::endian::little);
  constexpr std::uint64_t kLow = 0x7f7f7f7f7f7f7f7f;
  std::uint64_t words[8], bits = 0;
  std::memcpy(words, flags, sizeof(words));
  for (const std::uint64_t word : words) bits |= word;
  if (bits == 0) return 0;
  bits = 0;
  for (std::size_t i = 0; i < 64; i += 8) {
    const std::uint64_t bytes = words[i / 8];
    // The lowest bit of each byte that is not zero; the product has them side by side at its top.
    const std::uint64_t ones = ((((bytes & kLow) + kLow) | bytes) & ~kLow) >> 7;
    bits |= (ones * 0x0102040810204080) >> 56 << i;
  }
  return bits;
}

}  // namespace

VectorIndex::VectorIndex(const VectorTable& table, std::span<const std::int64_t> rows)
    : table_(table) {
  if (rows.size() >= kMostScores) throw OpError(ErrorKind::kUnsupported, "too many items");
  const auto last = std::ranges::max_element(rows);
  const std::size_t end = rows.empty() ? 0 : static_cast<std::size_t>(*last) + 1;
  rows_.reserve(rows.size());
  places_.reserve(rows.size());
  if (rows.size() < end / kFewRows) {
    places_.resize(rows.size());
    std::iota(places_.begin(), places_.end(), std::uint32_t{0});
    std::ranges::sort(places_, {}, [&](std::uint32_t place) { return rows[place]; });
    for (const std::uint32_t place : places_) {
      rows_.push_back(static_cast<std::uint32_t>(rows[place]));
    }
  } else {
    std::vector<std::uint32_t> place_of(end, kNone);
    for (std::size_t place = 0; place < rows.size(); ++place) {
      place_of[static_cast<std::size_t>(rows[place])] = static_cast<std::uint32_t>(place);
    }
    for (std::size_t row = 0; row < end; ++row) {
      if (place_of[row] == kNone) continue;
      rows_.push_back(static_cast<std::uint32_t>(row));
      places_.push_back(place_of[row]);
    }
  }
  plain_ = rows_.size() == end && rows_ == places_;
  read_details();
  if (table_.coarse != nullptr) lay_panels();
}

VectorIndex::VectorIndex(const VectorIndex& whole, std::span<const std::uint64_t> allowed,
                         bool copied)
    : table_(whole.table_) {
  // Where what is read lies apart, each code takes a line of memory whatever its size.
  table_.coarse = nullptr;
  std::size_t count = 0;
  for (const std::uint64_t bits : allowed) count += count_set(bits);
  rows_.reserve(count);
  places_.reserve(count);
  for (std::size_t block = 0; block < whole.blocks(); ++block) {
    for (std::uint64_t bits = allowed[block]; bits != 0; bits &= bits - 1) {
      add(whole, block * kBlock + static_cast<std::size_t>(std::countr_zero(bits)));
    }
  }
  read_details();
  if (copied) copy_lines();
}

VectorIndex::VectorIndex(const VectorIndex& whole, std::span<const std::int64_t> rows,
                         std::span<const std::uint64_t> allowed)
    : table_(whole.table_) {
  table_.coarse = nullptr;
  std::vector<std::size_t> numbers;
  for (const std::int64_t row : rows) {
    const auto number = whole.number_of(row);
    if (!number) continue;
    const bool taken = allowed.empty() || (allowed[*number / kBlock] >> *number % kBlock & 1) != 0;
    if (taken) numbers.push_back(*number);
  }
  std::ranges::sort(numbers);
  for (const std::size_t number : numbers) add(whole, number);
  read_details();
}

void VectorIndex::add(const VectorIndex& whole, std::size_t number) {
  rows_.push_back(whole.row(number));
  places_.push_back(whole.place(number));
}

// Lays what is known of the vectors beside their rows.
void VectorIndex::read_details() {
  constexpr std::size_t kAhead = 32;  // rows may lie anywhere
  blocks_.resize((size() + kBlock - 1) / kBlock);
  const std::size_t padded = blocks() * kBlock;
  const bool biased = table_.biased, screened = table_.screened();
  biases_.resize(biased ? padded : kBlock);
  scales_.resize(screened ? padded : 0);
  starts_.resize(screened ? padded : 0);
  coarse_.resize(table_.coarse != nullptr ? padded : 0);
  for (std::size_t i = 0; i < size(); ++i) {
    if (i + kAhead < size()) __builtin_prefetch(&table_.of(rows_[i + kAhead]));
    const VectorDetails& details = table_.of(rows_[i]);
    blocks_[i / kBlock].bounds.include(details, screened);
    if (biased) biases_[i] = details.bias;
    if (!screened) continue;
    scales_[i] = details.scale;
    starts_[i] = details.start;
    if (table_.coarse != nullptr) coarse_[i] = details.coarse;
  }
  for (std::size_t block = 0; block < blocks(); ++block) {
    const std::span<const std::uint32_t> own = rows(block);
    blocks_[block].run = own.back() == own.front() + (own.size() - 1);
  }
}

void VectorIndex::lay_panels() {
  constexpr std::size_t kGroup = 4;
  const std::size_t bytes = table_.coarse_stride, all = blocks() * kBlock * bytes;
  panels_ = std::make_unique<Region>(all, all);
  panels_->commit(all);
  for (std::size_t i = 0; i < size(); ++i) {
    const std::byte* const from = table_.coarse + rows_[i] * bytes;
    std::byte* to = panels_->data() + i / kBlock * kBlock * bytes + i % kBlock * kGroup;
    for (std::size_t at = 0; at < bytes; at += kGroup, to += kBlock * kGroup) {
      std::memcpy(to, from + at, kGroup);
    }
  }
}

void VectorIndex::copy_lines() {
  constexpr std::size_t kAhead = 16, kLine = 64;
  const Lines from = lines(table_.read());
  const std::size_t bytes = table_.line_bytes(table_.read());
  std::vector<std::byte> made(blocks() * kBlock * bytes);
  for (std::size_t i = 0; i < size(); ++i) {
    if (i + kAhead < size()) {
      const std::byte* const later = line(from, i + kAhead);
      for (std::size_t at = 0; at < bytes; at += kLine) __builtin_prefetch(later + at);
    }
    std::memcpy(made.data() + i * bytes, line(from, i), bytes);
  }
  copy_ = std::move(made);
}

VectorIndex::Lines VectorIndex::lines(Form form) const {
  if (!copy_.empty() && form == table_.read()) {
    return {copy_.data(), table_.line_bytes(form), true};
  }
  if (form == Form::kCodes) return {table_.codes, table_.codes_stride, false};
  return {table_.vectors, table_.vectors_stride, false};
}

std::optional<std::uint32_t> VectorIndex::place_of(std::int64_t row) const {
  const auto number = number_of(row);
  if (!number) return std::nullopt;
  return place(*number);
}

// Of the item of a row among all, if there is one.
std::optional<std::size_t> VectorIndex::number_of(std::int64_t row) const {
  if (rows_.empty() || row < rows_.front() || row > rows_.back()) return std::nullopt;
  if (plain_) return static_cast<std::size_t>(row);
  // Rows are different and rise, so at most as many stand before one as are less, and no fewer than
  // these without all that are missing.
  const auto number = static_cast<std::size_t>(row);
  const std::size_t missing = rows_.back() + std::size_t{1} - rows_.size();
  const std::size_t first = number - std::min(number, missing), last = std::min(number + 1, size());
  const auto among = std::span(rows_).subspan(first, last - first);
  const auto found = std::ranges::lower_bound(among, row);
  if (found == among.end() || *found != row) return std::nullopt;
  return first + static_cast<std::size_t>(found - among.begin());
}

std::size_t VectorIndex::mask_of(const std::uint8_t* flags, std::span<const std::uint64_t> within,
                                 std::span<std::uint64_t> mask) const {
  std::size_t count = 0;
  for (std::size_t block = 0; block < blocks(); ++block) {
    const std::span<const std::uint32_t> own = rows(block);
    std::uint64_t bits = 0;
    if (plain_ && own.size() == kBlock) {
      bits = bits_of(flags + block * kBlock);
    } else if (own.size() == kBlock && blocks_[block].run) {
      bits = bits_of(flags + own.front());
    } else {
      for (std::size_t i = 0; i < own.size(); ++i) {
        bits |= std::uint64_t{flags[own[i]] != 0} << i;
      }
    }
    mask[block] = within.empty() ? bits : bits & within[block];
    count += count_set(mask[block]);
  }
  return count;
}

void VectorIndex::prefetch_details(std::size_t block) const {
  constexpr std::size_t kLine = 64 / sizeof(float);
  __builtin_prefetch(&blocks_[block]);
  for (std::size_t i = 0; i < kBlock; i += kLine) {
    if (table_.biased) __builtin_prefetch(biases(block) + i);
    if (!table_.screened()) continue;
    __builtin_prefetch(scales(block) + i);
    __builtin_prefetch(starts(block) + i);
  }
}

const float* VectorIndex::biases(std::size_t block) const {
  return biases_.data() + (table_.biased ? block * kBlock : 0);
}

std::span<const std::uint32_t> VectorIndex::rows(std::size_t block) const {
  const std::size_t begin = block * kBlock;
  return std::span(rows_).subspan(begin, std::min(kBlock, rows_.size() - begin));
}

std::span<const std::uint32_t> VectorIndex::places(std::size_t block) const {
  const std::size_t begin = block * kBlock;
  return std::span(places_).subspan(begin, std::min(kBlock, places_.size() - begin));
}

std::size_t VectorIndex::search(const Kernels& kernels, ThreadPool& pool, const float* queries,
                                std::size_t count, std::size_t k, const SearchRules& rules,
                                std::int64_t* places, float* scores, std::int64_t* counts) const {
  std::fill_n(counts, count, 0);
  if (k == 0) return 0;
  std::fill_n(places, count * k, 0);
  std::fill_n(scores, count * k, -std::numeric_limits<float>::infinity());
  const std::size_t fit = std::max<std::size_t>(1, kEntryBytes / sizeof(Entry) / (2 * k));
  const std::size_t together = std::min(kQueries, fit);
  GroupSearch search(*this, kernels, pool);
  for (std::size_t begin = 0; begin < count; begin += together) {
    QueryGroup group(*this, queries + begin * table_.width, std::min(together, count - begin), k);
    group.allowed = rules.allowed;
    group.boosts = rules.boosts.from(begin);
    group.few = rules.few;
    for (std::size_t query = 0; query < group.count; ++query) {
      group.excluded.push_back(rules.excluded_by(begin + query));
    }
    std::size_t query = begin;
    for (const std::vector<Entry>& found : search.find(group)) {
      counts[query] = static_cast<std::int64_t>(found.size());
      std::size_t to = query++ * k;
      for (const Entry entry : found) {
        places[to] = static_cast<std::int64_t>(row_of(entry));
        scores[to++] = is_number(entry) ? score_of(entry) : std::numeric_limits<float>::quiet_NaN();
      }
    }
  }
  return search.refined();
}

}  // namespace pyrec
