// Few items: all have near scores, by their codes, before any is multiplied, so that hardly more
// are than have to be.

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "core/watch.h"
#include "retrieval/prefetch.h"
#include "retrieval/scan.h"

namespace pyrec {

namespace {

constexpr std::size_t kBlock = VectorIndex::kBlock;

// Blocks between one that is read and one that is on its way.
constexpr std::size_t kAhead = 4 * kScreenStreams;

// Vectors that are on their way before the first of them is multiplied.
constexpr std::size_t kTogether = 8 * kBlock;

// Of so many blocks one tells what a query's first near scores have to reach.
constexpr std::size_t kSampled = 16;

constexpr float kLowest = -std::numeric_limits<float>::infinity();

}  // namespace

void Scan::score_nearly(std::size_t begin, std::size_t end, std::span<float> near) {
  const std::size_t each = group_.count * kBlock;
  const std::size_t room = kBlock * table_.line_bytes(Form::kCodes) / sizeof(float);
  gathered_.resize(std::max(gathered_.size(), kScreenStreams * room));
  ScoreRows rows[kScreenStreams];
  for (std::size_t at = begin; at < end; at += kScreenStreams) {
    Watch::check();
    const std::size_t count = std::min(kScreenStreams, end - at);
    for (std::size_t s = 0; s < count; ++s) {
      const std::size_t block = at + s, later = std::min(block + kAhead, end - 1);
      index_.prefetch_details(later);
      prefetch(later, 0, kBlock);
      const ScreenRows lying = find_block(block, Form::kCodes, gathered_.data() + s * room);
      rows[s] = {lying.rows,           lying.step,           index_.starts(block),
                 index_.scales(block), index_.biases(block), near.data() + block * each};
    }
    kernels_.score_rows_s7(group_.codes.data(), group_.bounds.scales(), group_.count, rows, count,
                           table_.codes_stride);
  }
}

// see(number, score) for those of a query's near scores of some blocks side by side that are not
// less, of items that may be found. Those of one query alone lie side by side too.
template <class See>
void Scan::each_near(std::size_t query, std::size_t begin, std::size_t end, float least,
                     std::span<float> near, See&& see) {
  const std::size_t items = std::min(end * kBlock, index_.size()) - begin * kBlock;
  float* const own = near.data() + (begin * group_.count + query) * kBlock;
  std::uint32_t found[kStretch * kBlock];
  std::size_t count = items;
  if (least > kLowest) {
    count = kernels_.find_above_f32(own, items, Best::below(least), found);
  } else {
    std::iota(found, found + items, 0);
  }
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = found[i], number = begin * kBlock + at;
    if ((present(number / kBlock) >> at % kBlock & 1) == 0 || std::isnan(own[at])) continue;
    if (!best_[query].is_excluded(index_.place(number))) see(number, own[at]);
  }
}

// Blocks whose near scores of a query lie side by side, as far as they are looked at together.
std::size_t Scan::near_blocks() const { return group_.count == 1 ? kStretch : 1; }

// The k items with the largest near scores of a query, or all that may be found if there are fewer.
std::vector<Entry> Scan::find_nearest(std::size_t query, std::span<float> near) {
  const std::size_t k = group_.k, blocks = index_.blocks();
  std::vector<Entry> found, sample;
  const auto note_in = [](std::vector<Entry>& entries) {
    return
        [&entries](std::size_t number, float score) { entries.push_back(entry_of(score, number)); };
  };
  const std::size_t sampled = blocks / kSampled;
  for (std::size_t i = 0; i < sampled; ++i) {
    const std::size_t block = (2 * i + 1) * blocks / (2 * sampled);
    each_near(query, block, block + 1, kLowest, near, note_in(sample));
  }
  const double expected =
      static_cast<double>(k) * static_cast<double>(sampled) / static_cast<double>(blocks);
  auto rank = static_cast<std::size_t>(expected + 3 * std::sqrt(expected) + 3);
  // Where the sample said too much, all are asked for less.
  for (bool all = false; !all && found.size() < k; rank *= 4) {
    found.clear();
    all = rank >= sample.size();
    float least = kLowest;
    if (!all) {
      const auto last = sample.begin() + static_cast<std::ptrdiff_t>(rank) - 1;
      std::nth_element(sample.begin(), last, sample.end(), std::greater<>{});
      least = score_of(*last);
    }
    for (std::size_t block = 0; block < blocks; block += near_blocks()) {
      Watch::check();
      each_near(query, block, std::min(block + near_blocks(), blocks), least, near, note_in(found));
    }
  }
  keep_first(found, k);
  return found;
}

void Scan::look_at_near(std::size_t query, std::span<float> near) {
  const VectorIndex::Lines lines = index_.lines(Form::kVectors);
  const auto note_one = [&](std::size_t number) {
    prefetch_bytes(index_.line(lines, number), table_.line_bytes(Form::kVectors));
    found_[query].push_back(static_cast<std::uint32_t>(number));
  };
  for (const Entry entry : find_nearest(query, near)) {
    const std::size_t number = row_of(entry);
    note_one(number);
    // Not again.
    near[(number / kBlock * group_.count + query) * kBlock + number % kBlock] =
        std::numeric_limits<float>::quiet_NaN();
  }
  refine(query);
  for (std::size_t block = 0; block < index_.blocks(); block += near_blocks()) {
    Watch::check();
    const std::size_t end = std::min(block + near_blocks(), index_.blocks());
    const float least = group_.bounds.reach(bounds_of(block, end), query, best_[query].least());
    each_near(query, block, end, least, near, [&](std::size_t number, float) { note_one(number); });
    if (found_[query].size() >= kTogether) refine(query);
  }
  refine(query);
}

}  // namespace pyrec
