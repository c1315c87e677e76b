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
constexpr std::size_t kFewQueries = 4;

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
      by_rows_(group.count <= kFewQueries),
      least_(group.count),
      boosts_(group.boosts, group.count),
      needed_(group.boosts.any() ? group.count : 0),
      reach_(group.count * kScreenStreams),
      marks_(group.count * kScreenStreams),
      found_(table_.screened() || by_rows_ ? group.count : 0),
      packed_(std::max(kernels.packed_size_f32(table_.width, kBlock),
                       kernels.packed_size_f32(table_.codes_stride / 4, kBlock))),
      scores_(group.count * kBlock),
      gathered_(std::max(table_.width, table_.codes_stride / 4) * kBlock),
      bias_(kBlock) {
  for (const auto& excluded : group.excluded) best_.emplace_back(group.k, excluded);
}

// A bit for each item of a block that may be found.
std::uint64_t Scan::present(std::size_t block) const {
  const std::uint64_t all = ~std::uint64_t{0} >> (kBlock - index_.rows(block).size());
  return group_.allowed.empty() ? all : all & group_.allowed[block];
}

void Scan::run(std::size_t begin, std::size_t end) {
  const auto look = [&](std::size_t block, std::size_t next) {
    by_rows_ ? wait_for(block, next) : look_at(block, next);
  };
  for (std::size_t block = begin; block < end; block += kSample) {
    look(block, std::min(block + kSample, end - 1));
  }
  screen_waiting();
  // Streams of blocks that lie side by side, a block of each in turn.
  const std::size_t streams = by_rows_ ? kScreenStreams : 1;
  const std::size_t each = (end - begin + streams - 1) / streams;
  for (std::size_t i = 0; i < each; ++i) {
    for (std::size_t block = begin + i; block < end; block += each) {
      if ((block - begin) % kSample != 0) look(block, std::min(block + 1, end - 1));
    }
  }
  screen_waiting();
  for (std::size_t query = 0; query < found_.size(); ++query) refine(query);
}

// Whether a pair of the block may be found, and what its score has to reach.
bool Scan::matters(std::size_t block, std::span<float> reach) {
  Watch::check();
  if (present(block) == 0) return false;
  for (std::size_t query = 0; query < group_.count; ++query) {
    least_[query] =
        std::max(best_[query].least(), group_.least[query].load(std::memory_order_relaxed));
  }
  if (group_.boosts.any()) {
    boosts_.look_at(index_.places(block));
    boosts_.need(least_, needed_);
  }
  const std::vector<float>& needed = group_.boosts.any() ? needed_ : least_;
  return group_.bounds.reach(index_.bounds(block), needed, reach);
}

// Whether the next block is to be screened; where a screen leaves too much some are not.
bool Scan::screens_next() {
  if (unscreened_ == 0) return true;
  --unscreened_;
  return false;
}

void Scan::look_at(std::size_t block, std::size_t next) {
  if (!matters(block, reach_)) return;
  // In two parts: a core waits for so many lines and no more, and what comes after waits with them.
  prefetch(next, 0, kBlock / 2);
  const bool screened = screens_next() && table_.screened();
  pack(block, screened);
  prefetch(next, kBlock / 2, kBlock);
  if (screened) {
    screen(block);
  } else {
    multiply(block);
  }
}

// Blocks that are read together. What lies side by side is prefetched best by the core itself.
void Scan::wait_for(std::size_t block, std::size_t next) {
  const std::span<float> reach = std::span(reach_).subspan(waiting_ * group_.count, group_.count);
  if (!matters(block, reach)) return;
  index_.prefetch_details(next);
  if (!is_whole(block)) prefetch(next, 0, kBlock);
  if (!screens_next()) {
    pack(block, false);
    multiply(block);
    return;
  }
  blocks_[waiting_++] = block;
  if (waiting_ == kScreenStreams) screen_waiting();
}

// Sums of products in another order than that of scores, or of codes, tell whose scores may be
// among the best.
void Scan::screen_waiting() {
  const std::span waiting(blocks_, waiting_);
  const bool coded = table_.screened();
  const std::size_t room = kBlock * row_bytes(coded) / sizeof(float);
  if (!std::ranges::all_of(waiting, [this](std::size_t block) { return is_whole(block); })) {
    gathered_.resize(std::max(gathered_.size(), kScreenStreams * room));
  }
  ScreenRows rows[kScreenStreams];
  for (std::size_t s = 0; s < waiting_; ++s) {
    const std::size_t block = blocks_[s];
    const Lying lying = find_block(block, coded, gathered_.data() + s * room);
    rows[s].rows = lying.rows;
    rows[s].step = lying.step;
    if (coded) {
      rows[s].start = index_.starts(block);
      rows[s].scale = index_.scales(block);
    }
    rows[s].bias = index_.biases(block);
    rows[s].least = reach_.data() + s * group_.count;
    rows[s].marks = marks_.data() + s * group_.count;
  }
  if (coded) {
    kernels_.screen_rows_s7(group_.codes.data(), group_.bounds.scales(), group_.count, rows,
                            waiting_, table_.codes_stride);
  } else {
    kernels_.screen_rows_f32(group_.queries, group_.count, rows, waiting_, table_.width);
  }
  for (std::size_t s = 0; s < waiting_; ++s) note(blocks_[s], rows[s].marks);
  waiting_ = 0;
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
  const ScreenBlock items{packed_.data(), index_.starts(block), index_.scales(block),
                          index_.biases(block)};
  kernels_.screen_s7(group_.codes.data(), group_.bounds.scales(), reach_.data(), group_.count,
                     items, table_.codes_stride, marks_.data());
  note(block, marks_.data());
}

// Items of a block that are to be refined, those that are marked for each query.
void Scan::note(std::size_t block, const std::uint64_t* marks_of) {
  const std::size_t pairs = group_.count * index_.rows(block).size();
  const std::uint64_t found_here = present(block);
  if (group_.boosts.any()) {
    std::size_t count = 0;
    for (std::size_t query = 0; query < group_.count; ++query) {
      count += static_cast<std::size_t>(std::popcount(marks_of[query] & found_here));
    }
    if (count * kShare > pairs) {
      unscreened_ = loose_;
      loose_ = std::min(2 * loose_ + 1, kMostUnscreened);
      pack(block, false);
      multiply(block);
      return;
    }
    loose_ = 0;
  }
  if (!table_.screened()) refined_ += pairs;
  for (std::size_t query = 0; query < group_.count; ++query) {
    std::uint64_t marks = marks_of[query] & found_here;
    if (marks == 0) continue;
    for (; marks != 0; marks &= marks - 1) {
      const std::size_t number = block * kBlock + static_cast<std::size_t>(std::countr_zero(marks));
      prefetch_bytes(table_.vector(index_.row(number)), table_.width * sizeof(float));
      found_[query].push_back(static_cast<std::uint32_t>(number));
    }
    if (found_[query].size() >= kBlock) refine(query);
  }
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
    gather(table_.vectors, table_.vectors_stride, table_.width * sizeof(float), {rows, count},
           gathered_.data());
    kernels_.pack_f32(gathered_.data(), table_.width, kBlock, 1, table_.width, packed_.data());
    kernels_.gemm_f32(group_.queries + query * table_.width, table_.width, packed_.data(),
                      table_.biased ? bias_.data() : nullptr, 0, Activation::kNone, scores_.data(),
                      kBlock, 1, kBlock, table_.width, nullptr);
    if (group_.boosts.any()) group_.boosts.apply(query, {places, count}, scores_.data());
    best.collect(kernels_, scores_.data(), {places, count});
  }
  if (table_.screened()) refined_ += found.size();
  found.clear();
  seen(query);
}

// Tells the other threads.
void Scan::seen(std::size_t query) {
  const float least = best_[query].least();
  if (least > least_[query]) raise(group_.least[query], least);
}

// Whether a block's vectors lie as far from each other as rows do.
bool Scan::is_whole(std::size_t block) const {
  return index_.is_run(block) && index_.rows(block).size() == kBlock;
}

// Bytes of a row of codes, or of numbers.
std::size_t Scan::row_bytes(bool coded) const {
  return coded ? table_.codes_stride : table_.width * sizeof(float);
}

// The vectors or codes of some rows side by side, and zeros up to a block.
void Scan::gather(const std::byte* from, std::size_t stride, std::size_t bytes,
                  std::span<const std::uint32_t> rows, float* room) {
  auto* to = reinterpret_cast<std::byte*>(room);
  for (const std::uint32_t row : rows) {
    std::memcpy(to, from + row * stride, bytes);
    to += bytes;
  }
  std::memset(to, 0, (kBlock - rows.size()) * bytes);
}

// Where the block's codes or vectors lie, with room for them where its rows are apart.
Scan::Lying Scan::find_block(std::size_t block, bool coded, float* room) const {
  const std::byte* const from = coded ? table_.codes : table_.vectors;
  const std::size_t stride = coded ? table_.codes_stride : table_.vectors_stride;
  if (is_whole(block)) return {from + index_.first_row(block) * stride, stride};
  gather(from, stride, row_bytes(coded), index_.rows(block), room);
  return {reinterpret_cast<const std::byte*>(room), row_bytes(coded)};
}

// Lays what the block is multiplied by out: its codes, or its vectors.
void Scan::pack(std::size_t block, bool coded) {
  const Lying lying = find_block(block, coded, gathered_.data());
  kernels_.pack_f32(reinterpret_cast<const float*>(lying.rows), row_bytes(coded) / sizeof(float),
                    kBlock, 1, lying.step / sizeof(float), packed_.data());
}

void Scan::prefetch(std::size_t block, std::size_t begin, std::size_t end) const {
  const std::span<const std::uint32_t> rows = index_.rows(block);
  const bool screened = table_.screened();
  const std::size_t bytes = row_bytes(screened);
  end = std::min(end, rows.size());
  // As a whole where what is read lies side by side.
  const bool dense = index_.is_run(block) && (screened || table_.vectors_stride == bytes);
  const std::size_t step = dense ? std::max<std::size_t>(end, 1) : 1;
  for (std::size_t i = begin; i < end; i += step) {
    const float* from = screened ? table_.packed_codes(rows[i]) : table_.vector(rows[i]);
    prefetch_bytes(from, std::min(step, end - i) * bytes);
  }
}

}  // namespace pyrec
