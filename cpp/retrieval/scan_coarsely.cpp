// The first screen of few queries, by coarse codes, and what is done with the items that pass it.

#include <algorithm>
#include <bit>
#include <limits>

#include "core/bits.h"
#include "core/watch.h"
#include "retrieval/prefetch.h"
#include "retrieval/scan.h"

namespace pyrec {

namespace {

constexpr std::size_t kBlock = VectorIndex::kBlock;

// Where coarse codes leave more than this share of the pairs, codes are read at once.
constexpr std::size_t kCoarseShare = 24;

}  // namespace

// Two halves of the blocks, a block of each in turn: two streams.
void Scan::look_coarsely(std::size_t begin, std::size_t end) {
  const std::size_t middle = begin + (end - begin + 1) / 2;
  for (std::size_t at = 0; at < middle - begin; at += kStretch) {
    Watch::check();
    screen_waiting();
    see_least();
    panels_.clear();
    stretch_.clear();
    add_stretches({begin + at, middle + at}, {middle, end});
    if (stretch_.empty()) continue;
    if (coarsely_.comes_next()) {
      screen_panels();
    } else {
      for (const std::size_t block : stretch_) look(block, std::min(block + 1, end - 1));
    }
  }
}

// Those of the next blocks that may have a pair that is found.
void Scan::add_stretches(const std::size_t (&firsts)[2], const std::size_t (&ends)[2]) {
  bool matters[2];
  for (std::size_t half = 0; half < 2; ++half) {
    const std::size_t last = std::min(firsts[half] + kStretch, ends[half]);
    BlockBounds bounds = bounds_of(firsts[half], last);
    bounds.residual = 0;  // the screen counts those of the items
    matters[half] = firsts[half] < last && group_.bounds.reach(bounds, least_, reach_of(half));
  }
  for (std::size_t i = 0; i < kStretch; ++i) {
    for (std::size_t half = 0; half < 2; ++half) {
      const std::size_t block = firsts[half] + i;
      if (!matters[half] || block >= ends[half] || block % kSample == 0) continue;
      const std::size_t next = std::min(block + 1, ends[half] - 1);
      panels_.push_back({index_.panels(block), index_.coarse(block), index_.biases(block),
                         reach_of(half).data(), marks_.data() + stretch_.size() * group_.count,
                         index_.panels(next)});
      stretch_.push_back(block);
    }
  }
}

void Scan::screen_panels() {
  kernels_.screen_u4(group_.signed_codes.data(), group_.starts.data(), group_.bounds.scales(),
                     group_.bounds.sizes(), group_.count, panels_.data(), panels_.size(),
                     2 * table_.coarse_stride);
  const std::size_t pairs = stretch_.size() * group_.count;
  std::size_t count = 0;
  for (std::size_t i = 0; i < stretch_.size(); ++i) {
    const std::uint64_t found_here = present(stretch_[i]);
    for (std::size_t query = 0; query < group_.count; ++query) {
      count += count_set(panels_[i].marks[query] & found_here);
    }
  }
  const bool paid = count * kCoarseShare <= pairs * kBlock;
  coarsely_.count(paid);
  for (std::size_t i = 0; i < stretch_.size(); ++i) {
    if (!paid) {
      look(stretch_[i], stretch_[i]);
    } else {
      note_panels(stretch_[i], panels_[i].marks);
    }
  }
}

// Items of a block that pass, those that are marked for each query.
void Scan::note_panels(std::size_t block, const std::uint64_t* marks_of) {
  const VectorIndex::Lines lines = index_.lines(Form::kCodes);
  for (std::size_t query = 0; query < group_.count; ++query) {
    if (marks_of[query] == 0) continue;
    for (std::uint64_t marks = marks_of[query] & present(block); marks != 0; marks &= marks - 1) {
      const std::size_t number = block * kBlock + static_cast<std::size_t>(std::countr_zero(marks));
      prefetch_bytes(index_.line(lines, number), table_.line_bytes(Form::kCodes));
      __builtin_prefetch(&table_.of(index_.row(number)));
      passed_[query].push_back(static_cast<std::uint32_t>(number));
    }
    if (passed_[query].size() >= 2 * kBlock) narrow(query, kBlock);
  }
}

// Of what has passed by its coarse codes, finds what may be among the best by its codes; the last
// ones, whose codes are on their way, may go on waiting.
void Scan::narrow(std::size_t query, std::size_t waiting) {
  std::vector<std::uint32_t>& passed = passed_[query];
  const float least =
      std::max(best_[query].least(), group_.least[query].load(std::memory_order_relaxed));
  const VectorIndex::Lines vectors = index_.lines(Form::kVectors);
  const std::span ready = std::span(passed).first(passed.size() - waiting);
  for (std::size_t begin = 0; begin < ready.size(); begin += kBlock) {
    const std::span numbers = ready.subspan(begin, std::min(kBlock, ready.size() - begin));
    BlockBounds bounds;
    std::int32_t starts[kBlock] = {};
    float scales[kBlock] = {}, biases[kBlock] = {};
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const VectorDetails& details = table_.of(index_.row(numbers[i]));
      bounds.include(details, true);
      starts[i] = details.start;
      scales[i] = details.scale;
      biases[i] = details.bias;
    }
    gather(Form::kCodes, numbers, gathered_.data());
    const float reach = group_.bounds.reach(bounds, query, least);
    std::uint64_t marks = 0;
    ScreenRows rows{reinterpret_cast<const std::byte*>(gathered_.data()),
                    table_.codes_stride,
                    starts,
                    scales,
                    biases,
                    &reach,
                    &marks};
    kernels_.screen_rows_s7(group_.codes.data() + query * table_.codes_stride,
                            group_.bounds.scales() + query, 1, &rows, 1, table_.codes_stride);
    for (marks &= ~std::uint64_t{0} >> (kBlock - numbers.size()); marks != 0; marks &= marks - 1) {
      const std::uint32_t number = numbers[static_cast<std::size_t>(std::countr_zero(marks))];
      // Of those that the coarse codes have left most are gone by now.
      if (best_[query].is_excluded(index_.place(number))) continue;
      prefetch_bytes(index_.line(vectors, number), table_.line_bytes(Form::kVectors));
      found_[query].push_back(number);
    }
  }
  passed.erase(passed.begin(), passed.end() - static_cast<std::ptrdiff_t>(waiting));
}

}  // namespace pyrec
