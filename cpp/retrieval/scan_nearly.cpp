// Few items: all have near scores, by their codes, before any is multiplied, so that hardly more
// are than have to be.

#include <algorithm>
#include <bit>
#include <limits>
#include <vector>

#include "core/watch.h"
#include "retrieval/prefetch.h"
#include "retrieval/scan.h"
#include "selection/reached.h"

namespace pyrec {

namespace {

constexpr std::size_t kBlock = VectorIndex::kBlock;

// Blocks between one that is read and one that is on its way.
constexpr std::size_t kAhead = 4 * kScreenStreams;

// Vectors that are on their way before the first of them is multiplied.
constexpr std::size_t kTogether = 8 * kBlock;

constexpr float kLowest = -std::numeric_limits<float>::infinity();

}  // namespace

// Those of a query lie side by side, whatever the number of queries.
std::span<float> Scan::near_of(std::size_t query, std::span<float> near) const {
  const std::size_t each = index_.blocks() * kBlock;
  return near.subspan(query * each, each);
}

void Scan::score_nearly(std::size_t begin, std::size_t end, std::span<float> near) {
  const std::size_t room = kBlock * table_.line_bytes(Form::kCodes) / sizeof(float);
  gathered_.resize(std::max(gathered_.size(), kScreenStreams * room));
  const bool copied = index_.lines(Form::kCodes).copied;
  for (std::size_t at = begin; at < end; at += kScreenStreams) {
    Watch::check();
    const std::size_t count = std::min(kScreenStreams, end - at);
    for (std::size_t block = at; block < at + count; ++block) {
      const std::size_t later = std::min(block + kAhead, end - 1);
      index_.prefetch_details(later);
      // What lies side by side is prefetched best by the core itself.
      if (!copied) prefetch(later, 0, kBlock);
    }
    by_rows_ ? score_rows(at, count, near) : score_packed(at, count, near);
    for (std::size_t block = at; block < at + count; ++block) leave_out_absent(block, near);
  }
}

// Of few queries by the codes where they lie, or in room for them.
void Scan::score_rows(std::size_t first, std::size_t count, std::span<float> near) {
  const std::size_t room = kBlock * table_.line_bytes(Form::kCodes) / sizeof(float);
  ScoreRows rows[kScreenStreams];
  for (std::size_t s = 0; s < count; ++s) {
    const std::size_t block = first + s;
    const ScreenRows lying = find_block(block, Form::kCodes, gathered_.data() + s * room);
    rows[s] = {lying.rows,           lying.step,           index_.starts(block),
               index_.scales(block), index_.biases(block), nullptr};
  }
  for (std::size_t query = 0; query < group_.count; ++query) {
    float* const to = near_of(query, near).data() + first * kBlock;
    for (std::size_t s = 0; s < count; ++s) rows[s].scores = to + s * kBlock;
    kernels_.score_rows_s7(group_.codes.data() + query * table_.codes_stride,
                           group_.bounds.scales() + query, 1, rows, count, table_.codes_stride);
  }
}

// Of many by the codes of a block laid out.
void Scan::score_packed(std::size_t first, std::size_t count, std::span<float> near) {
  for (std::size_t block = first; block < first + count; ++block) {
    pack(block, Form::kCodes);
    const ScreenBlock items{packed_.data(), index_.starts(block), index_.scales(block),
                            index_.biases(block)};
    kernels_.score_s7(group_.codes.data(), group_.bounds.scales(), group_.count, items,
                      table_.codes_stride, near.data() + block * kBlock, index_.blocks() * kBlock);
  }
}

void Scan::leave_out_absent(std::size_t block, std::span<float> near) const {
  const std::uint64_t absent = ~present(block);
  if (absent == 0) return;
  for (std::size_t query = 0; query < group_.count; ++query) {
    float* const own = near_of(query, near).data() + block * kBlock;
    for (std::uint64_t bits = absent; bits != 0; bits &= bits - 1) {
      own[std::countr_zero(bits)] = kLowest;
    }
  }
}

// see(number, score) for those of a query's near scores of some blocks, at most a stretch, that are
// above minus infinity and not less, of items that it may have.
template <class See>
void Scan::each_near(std::size_t query, std::size_t begin, std::size_t end, float least,
                     std::span<const float> near, See&& see) const {
  const PlaceSet* const excluded = group_.excluded[query];
  const std::span own = near.subspan(begin * kBlock, (end - begin) * kBlock);
  std::uint32_t found[kStretch * kBlock];
  const std::size_t count =
      kernels_.find_above_f32(own.data(), own.size(), Best::below(least), found);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t number = begin * kBlock + found[i];
    if (excluded == nullptr || !excluded->has(index_.place(number))) see(number, own[found[i]]);
  }
}

// What at least so many of near scores reach: of those that are the largest of several items each,
// as many do, and these are fewer.
float Scan::reached_nearly(std::size_t wanted, std::span<const float> near) const {
  constexpr std::size_t kSpare = 4;
  const std::size_t blocks = index_.blocks();
  std::size_t each = kStretch;
  while (each > 1 && blocks * kBlock < kSpare * wanted * each) each /= 2;
  std::vector<float> largest((blocks + each - 1) / each * kBlock, kLowest);
  for (std::size_t block = 0; block < blocks; ++block) {
    const float* const own = near.data() + block * kBlock;
    float* const to = largest.data() + block / each * kBlock;
    for (std::size_t i = 0; i < kBlock; ++i) to[i] = own[i] > to[i] ? own[i] : to[i];
  }
  return reached_by(largest, wanted);
}

// Items with the largest near scores of a query, k and few more, or all that may be found if there
// are fewer.
std::vector<Entry> Scan::find_nearest(std::size_t query, std::span<const float> near) {
  const std::size_t k = group_.k, blocks = index_.blocks();
  const PlaceSet* const excluded = group_.excluded[query];
  std::vector<Entry> found;
  for (const std::size_t more : {std::size_t{0}, excluded == nullptr ? 0 : excluded->size()}) {
    found.clear();
    const float least = reached_nearly(k + more, near);
    for (std::size_t block = 0; block < blocks; block += kStretch) {
      Watch::check();
      each_near(query, block, std::min(block + kStretch, blocks), least, near,
                [&](std::size_t number, float score) {
                  index_.prefetch_number(number);
                  found.push_back(entry_of(score, static_cast<std::uint32_t>(number)));
                });
    }
    // Nothing that is excluded was counted, or there is no more.
    if (found.size() >= k || least == kLowest) break;
  }
  if (found.size() > 2 * k) keep_first(found, k);
  return found;
}

// Computes the scores of what was found, all of which is fetched first.
void Scan::refine_together(std::size_t query) {
  const VectorIndex::Lines lines = index_.lines(Form::kVectors);
  for (const std::uint32_t number : found_[query]) {
    prefetch_bytes(index_.line(lines, number), table_.line_bytes(Form::kVectors));
  }
  refine(query);
}

void Scan::look_at_near(std::size_t query, std::span<float> all) {
  const std::span<float> near = near_of(query, all);
  for (const Entry entry : find_nearest(query, near)) {
    const std::size_t number = row_of(entry);
    found_[query].push_back(static_cast<std::uint32_t>(number));
    // Not again.
    near[number] = kLowest;
  }
  refine_together(query);
  for (std::size_t block = 0; block < index_.blocks(); block += kStretch) {
    Watch::check();
    const std::size_t end = std::min(block + kStretch, index_.blocks());
    const float least = group_.bounds.reach(bounds_of(block, end), query, best_[query].least());
    each_near(query, block, end, least, near, [&](std::size_t number, float) {
      index_.prefetch_number(number);
      found_[query].push_back(static_cast<std::uint32_t>(number));
    });
    if (found_[query].size() >= kTogether) refine_together(query);
  }
  refine_together(query);
}

}  // namespace pyrec
