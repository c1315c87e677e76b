// Few items: all have near scores, by their codes, before any is multiplied, so that hardly more
// are than have to be.

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/watch.h"
#include "retrieval/prefetch.h"
#include "retrieval/scan.h"

namespace pyrec {

namespace {

constexpr std::size_t kBlock = VectorIndex::kBlock;

// Blocks between one that is read and one that is on its way.
constexpr std::size_t kAhead = 2 * kScreenStreams;

// Vectors that are on their way before the first of them is multiplied.
constexpr std::size_t kTogether = 8 * kBlock;

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
    for (std::size_t s = 0; s < count; ++s) keep_lower(at + s, rows[s].scores);
  }
}

void Scan::keep_lower(std::size_t block, const float* near) {
  const std::uint64_t counting = present(block);
  float lower[kBlock];
  for (std::size_t query = 0; query < group_.count; ++query, near += kBlock) {
    const float apart =
        std::nextafter(static_cast<float>(group_.bounds.apart(index_.bounds(block), query)),
                       std::numeric_limits<float>::infinity());
    for (std::size_t i = 0; i < kBlock; ++i) lower[i] = near[i] - apart;
    best_[query].collect(kernels_, lower, index_.places(block), &counting);
  }
}

void Scan::look_at_near(std::size_t begin, std::size_t end, std::span<const float> near) {
  for (std::size_t block = begin; block < end; ++block) {
    Watch::check();
    see_least();
    for (std::size_t query = 0; query < group_.count; ++query) {
      find_near(block, query, near.data() + (block * group_.count + query) * kBlock);
    }
  }
  finish();
}

void Scan::find_near(std::size_t block, std::size_t query, const float* near) {
  const float least = group_.bounds.reach(index_.bounds(block), query, least_[query]);
  std::uint32_t found[kBlock];
  const std::size_t count =
      kernels_.find_above_f32(near, index_.rows(block).size(), Best::below(least), found);
  const std::uint64_t counting = count == 0 ? 0 : present(block);
  const VectorIndex::Lines lines = index_.lines(Form::kVectors);
  for (std::size_t i = 0; i < count; ++i) {
    if ((counting >> found[i] & 1) == 0) continue;
    const std::size_t number = block * kBlock + found[i];
    if (best_[query].is_excluded(index_.place(number))) continue;
    prefetch_bytes(index_.line(lines, number), table_.line_bytes(Form::kVectors));
    found_[query].push_back(static_cast<std::uint32_t>(number));
  }
  if (found_[query].size() >= kTogether) refine(query);
}

}  // namespace pyrec
