#include "retrieval/scan.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "core/watch.h"

namespace pyrec {

namespace {

constexpr std::size_t kBlock = VectorIndex::kBlock;
static_assert(kBlock <= kScoreBlock);

// Blocks of which one is looked at before all others: what is found there tells what the others
// have to reach, in whatever order the items lie.
constexpr std::size_t kSample = 64;

// So few queries that it takes longer to lay out a block's vectors than to multiply them.
constexpr std::size_t kFewQueries = 2;

// A screen that leaves more than this share of a block's pairs, as it may where boosts differ much,
// costs more than it saves: this block is multiplied whole, and the more blocks that follow without
// a screen, the more of these there are.
constexpr std::size_t kShare = 4;
constexpr std::size_t kMostUnscreened = 15;

// Raised by any thread; what the others have not seen yet costs them time alone.
void raise(std::atomic<float>& least, float to) {
  float now = least.load(std::memory_order_relaxed);
  while (now < to && !least.compare_exchange_weak(now, to, std::memory_order_relaxed)) {
  }
}

void prefetch_bytes(const void* begin, std::size_t bytes) {
  constexpr std::size_t kLine = 64;
  const auto* p = static_cast<const std::byte*>(begin);
  for (std::size_t at = 0; at < bytes; at += kLine) __builtin_prefetch(p + at, 0, 2);
}

}  // namespace

QueryGroup::QueryGroup(const VectorIndex& index, const float* given, std::size_t many,
                       std::size_t best)
    : queries(given),
      count(many),
      k(best),
      codes(index.table().screened() ? many * index.table().codes_stride : 0),
      bounds(given, many, index.table().width, codes.empty() ? nullptr : codes.data(),
             index.table().codes_stride),
      least(many) {
  for (std::atomic<float>& each : least) each = -std::numeric_limits<float>::infinity();
}

Scan::Scan(const VectorIndex& index, const Kernels& kernels, QueryGroup& group)
    : index_(index),
      table_(index.table()),
      kernels_(kernels),
      group_(group),
      by_rows_(!table_.screened() && group.count <= kFewQueries),
      least_(group.count),
      boosts_(group.boosts, group.count),
      needed_(group.boosts.any() ? group.count : 0),
      reach_(group.count),
      marks_(group.count),
      found_(table_.screened() || by_rows_ ? group.count : 0),
      packed_(std::max(kernels.packed_size_f32(table_.width, kBlock),
                       kernels.packed_size_f32(table_.codes_stride / 4, kBlock))),
      scores_(group.count * kBlock),
      gathered_(std::max(table_.width, table_.codes_stride / 4) * kBlock),
      bias_(kBlock) {
  for (const auto& excluded : group.excluded) best_.emplace_back(group.k, excluded);
  if (!by_rows_) return;
  const std::size_t size = kernels.packed_size_f32(table_.width, 1);
  packed_queries_.resize(group.count * size);
  for (std::size_t query = 0; query < group.count; ++query) {
    kernels.pack_f32(group.queries + query * table_.width, table_.width, 1, 1, 1,
                     packed_queries_.data() + query * size);
  }
}

// A bit for each item of a block that may be found.
std::uint64_t Scan::present(std::size_t block) const {
  const std::uint64_t all = ~std::uint64_t{0} >> (kBlock - index_.rows(block).size());
  return group_.allowed.empty() ? all : all & group_.allowed[block];
}

void Scan::run(std::size_t begin, std::size_t end) {
  for (std::size_t block = begin; block < end; block += kSample) {
    look_at(block, std::min(block + kSample, end - 1));
  }
  for (std::size_t block = begin; block < end; ++block) {
    if ((block - begin) % kSample != 0) look_at(block, std::min(block + 1, end - 1));
  }
  for (std::size_t query = 0; query < found_.size(); ++query) refine(query);
}

void Scan::look_at(std::size_t block, std::size_t next) {
  Watch::check();
  if (present(block) == 0) return;
  for (std::size_t query = 0; query < group_.count; ++query) {
    least_[query] =
        std::max(best_[query].least(), group_.least[query].load(std::memory_order_relaxed));
  }
  if (group_.boosts.any()) {
    boosts_.look_at(index_.places(block));
    boosts_.need(least_, needed_);
  }
  const std::vector<float>& needed = group_.boosts.any() ? needed_ : least_;
  if (!group_.bounds.reach(index_.bounds(block), needed, reach_)) return;
  // In two parts: a core waits for so many lines and no more, and what comes after waits with them.
  prefetch(next, 0, kBlock / 2);
  const bool screened = unscreened_ == 0 && (by_rows_ || table_.screened());
  if (!screened || !by_rows_) pack(block, screened);
  prefetch(next, kBlock / 2, kBlock);
  if (!screened) {
    unscreened_ -= std::min<std::size_t>(unscreened_, 1);
    multiply(block);
  } else if (by_rows_) {
    screen_rows(block);
  } else {
    screen(block);
  }
}

void Scan::multiply(std::size_t block) {
  const std::span<const std::uint32_t> rows = index_.rows(block);
  const std::span<const std::uint32_t> places = index_.places(block);
  kernels_.gemm_f32(group_.queries, table_.width, packed_.data(),
                    table_.biased ? index_.biases(block) : nullptr, 0, Activation::kNone,
                    scores_.data(), kBlock, group_.count, kBlock, table_.width, nullptr);
  refined_ += group_.count * rows.size();
  const std::uint64_t counting = present(block);
  for (std::size_t query = 0; query < group_.count; ++query) {
    best_[query].raise_to(least_[query]);
    if (group_.boosts.any()) group_.boosts.apply(query, places, scores_.data() + query * kBlock);
    best_[query].collect(kernels_, scores_.data() + query * kBlock, places, &counting);
    seen(query);
  }
}

void Scan::screen(std::size_t block) {
  const std::span<const std::uint32_t> rows = index_.rows(block);
  const ScreenBlock items{packed_.data(), index_.starts(block), index_.scales(block),
                          index_.biases(block)};
  kernels_.screen_s7(group_.codes.data(), group_.bounds.scales(), reach_.data(), group_.count,
                     items, table_.codes_stride, marks_.data());
  follow(block);
}

// What a screen has marked is refined.
void Scan::follow(std::size_t block) {
  const std::span<const std::uint32_t> rows = index_.rows(block);
  const std::uint64_t found_here = present(block);
  if (group_.boosts.any()) {
    std::size_t count = 0;
    for (const std::uint64_t marks : marks_) {
      count += static_cast<std::size_t>(std::popcount(marks & found_here));
    }
    if (count * kShare > group_.count * rows.size()) {
      unscreened_ = loose_;
      loose_ = std::min(2 * loose_ + 1, kMostUnscreened);
      pack(block, false);
      multiply(block);
      return;
    }
    loose_ = 0;
  }
  if (by_rows_) refined_ += group_.count * rows.size();
  for (std::size_t query = 0; query < group_.count; ++query) {
    std::uint64_t marks = marks_[query] & found_here;
    if (marks == 0) continue;
    for (; marks != 0; marks &= marks - 1) {
      const auto i = static_cast<std::size_t>(std::countr_zero(marks));
      prefetch_bytes(table_.vector(rows[i]), table_.width * sizeof(float));
      note(query, block, i);
    }
    if (found_[query].size() >= kBlock) refine(query);
  }
}

// Sums of products lane by lane, which the vectors are read for where they lie, tell whose scores
// may be among the best.
void Scan::screen_rows(std::size_t block) {
  const std::span<const std::uint32_t> rows = index_.rows(block);
  const bool whole = is_whole(block);
  const float* vectors = whole ? table_.vector(rows.front()) : gather(rows);
  const std::size_t step = whole ? table_.vectors_stride / sizeof(float) : table_.width;
  const std::size_t size = packed_queries_.size() / group_.count;
  for (std::size_t query = 0; query < group_.count; ++query) {
    kernels_.gemm_f32(vectors, step, packed_queries_.data() + query * size,
                      table_.biased ? index_.biases(block) : nullptr, table_.biased ? 1 : 0,
                      Activation::kNone, scores_.data() + query * kBlock, 1, rows.size(), 1,
                      table_.width, nullptr);
  }
  for (std::size_t query = 0; query < group_.count; ++query) {
    std::uint32_t marks[kBlock];
    const std::size_t count = kernels_.find_above_f32(scores_.data() + query * kBlock, rows.size(),
                                                      Best::below(reach_[query]), marks);
    marks_[query] = 0;
    for (std::size_t i = 0; i < count; ++i) marks_[query] |= std::uint64_t{1} << marks[i];
  }
  follow(block);
}

// An item of a block that is to be refined.
void Scan::note(std::size_t query, std::size_t block, std::size_t i) {
  found_[query].push_back(static_cast<std::uint32_t>(block * kBlock + i));
}

// Computes the scores of what a query's screen has found.
void Scan::refine(std::size_t query) {
  std::vector<std::uint32_t>& found = found_[query];
  Best& best = best_[query];
  best.raise_to(group_.least[query].load(std::memory_order_relaxed));
  std::uint32_t rows[kBlock], places[kBlock];
  for (std::size_t begin = 0; begin < found.size(); begin += kBlock) {
    const std::size_t count = std::min(kBlock, found.size() - begin);
    for (std::size_t i = 0; i < count; ++i) {
      rows[i] = index_.row(found[begin + i]);
      places[i] = index_.place(found[begin + i]);
      bias_[i] = table_.of(rows[i]).bias;
    }
    kernels_.pack_f32(gather({rows, count}), table_.width, kBlock, 1, table_.width, packed_.data());
    kernels_.gemm_f32(group_.queries + query * table_.width, table_.width, packed_.data(),
                      table_.biased ? bias_.data() : nullptr, 0, Activation::kNone, scores_.data(),
                      kBlock, 1, kBlock, table_.width, nullptr);
    if (group_.boosts.any()) group_.boosts.apply(query, {places, count}, scores_.data());
    best.collect(kernels_, scores_.data(), {places, count});
  }
  if (!by_rows_) refined_ += found.size();
  found.clear();
  seen(query);
}

// Tells the other threads.
void Scan::seen(std::size_t query) {
  const float least = best_[query].least();
  if (least > least_[query]) raise(group_.least[query], least);
}

// The vectors of some rows side by side, and zeros up to a block.
const float* Scan::gather(std::span<const std::uint32_t> rows) {
  const std::size_t width = table_.width;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(gathered_.data() + i * width, table_.vector(rows[i]), width * sizeof(float));
  }
  std::fill_n(gathered_.begin() + static_cast<std::ptrdiff_t>(rows.size() * width),
              (kBlock - rows.size()) * width, 0.0f);
  return gathered_.data();
}

// Whether a block's vectors lie as far from each other as rows do.
bool Scan::is_whole(std::size_t block) const {
  const std::span<const std::uint32_t> rows = index_.rows(block);
  return rows.size() == kBlock && is_run(rows);
}

// Lays what the block is multiplied by out: its codes, or its vectors.
void Scan::pack(std::size_t block, bool by_codes) {
  const std::span<const std::uint32_t> rows = index_.rows(block);
  const bool whole = is_whole(block);
  if (!by_codes) {
    const float* vectors = whole ? table_.vector(rows.front()) : gather(rows);
    const std::size_t step = whole ? table_.vectors_stride / sizeof(float) : table_.width;
    kernels_.pack_f32(vectors, table_.width, kBlock, 1, step, packed_.data());
    return;
  }
  const std::size_t words = table_.codes_stride / sizeof(float);
  const float* codes = table_.packed_codes(rows.front());
  if (!whole) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      std::memcpy(gathered_.data() + i * words, table_.packed_codes(rows[i]), table_.codes_stride);
    }
    codes = gathered_.data();
  }
  kernels_.pack_f32(codes, words, kBlock, 1, words, packed_.data());
}

void Scan::prefetch(std::size_t block, std::size_t begin, std::size_t end) const {
  const std::span<const std::uint32_t> rows = index_.rows(block);
  const bool screened = table_.screened();
  const std::size_t bytes = screened ? table_.codes_stride : table_.width * sizeof(float);
  end = std::min(end, rows.size());
  // As a whole where what is read lies side by side.
  const bool dense = is_run(rows) && (screened || table_.vectors_stride == bytes);
  const std::size_t step = dense ? std::max<std::size_t>(end, 1) : 1;
  for (std::size_t i = begin; i < end; i += step) {
    const float* from = screened ? table_.packed_codes(rows[i]) : table_.vector(rows[i]);
    prefetch_bytes(from, std::min(step, end - i) * bytes);
  }
}

}  // namespace pyrec
