#include "retrieval/scan.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <numeric>

#include "core/bits.h"
#include "core/watch.h"
#include "retrieval/prefetch.h"

namespace pyrec {

namespace {

constexpr std::size_t kBlock = VectorIndex::kBlock;
static_assert(kBlock <= kScoreBlock);

// So few queries that it takes longer to lay out a block's vectors than to multiply them.
constexpr std::size_t kFewQueries = 4;

// Of many queries, that are multiplied with a block while a part of the next one is read.
constexpr std::size_t kScreenParts = 4;

// A screen that leaves more than this share of a block's pairs, as it may where boosts differ much,
// costs more than it saves: this block is multiplied whole, and the more blocks that follow without
// a screen, the more of these there are.
constexpr std::size_t kShare = 4;
constexpr std::size_t kMostUnscreened = 15;

// Stretches of blocks without a look at their coarse codes.
constexpr std::size_t kMostFine = 63;

// Raised by any thread; what the others have not seen yet costs them time alone.
void raise(std::atomic<float>& least, float to) {
  float now = least.load(std::memory_order_relaxed);
  while (now < to && !least.compare_exchange_weak(now, to, std::memory_order_relaxed)) {
  }
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
  const VectorTable& table = index.table();
  if (table.coarse == nullptr || count > kFewQueries) return;
  constexpr int kZero = 64, kCoarseZero = 8;
  const std::size_t padded = 2 * table.coarse_stride;
  signed_codes.resize(count * padded);
  starts.resize(count);
  for (std::size_t query = 0; query < count; ++query) {
    for (std::size_t i = 0; i < table.width; ++i) {
      const int code = codes[query * table.codes_stride + i] - kZero;
      signed_codes[query * padded + i] = static_cast<std::int8_t>(code);
      starts[query] -= kCoarseZero * code;
    }
  }
}

void QueryGroup::share_among(std::size_t threads) {
  shares = std::vector<std::atomic<float>>(threads > 1 ? count * threads : 0);
  for (std::atomic<float>& each : shares) each = -std::numeric_limits<float>::infinity();
}

Scan::Scan(const VectorIndex& index, const Kernels& kernels, QueryGroup& group, std::size_t worker)
    : index_(index),
      table_(index.table()),
      kernels_(kernels),
      group_(group),
      worker_(worker),
      by_rows_(group.count <= kFewQueries),
      least_(group.count),
      told_(group.count, -std::numeric_limits<float>::infinity()),
      boosts_(group.boosts, group.count),
      needed_(group.boosts.any() ? group.count : 0),
      reach_(group.count * kScreenStreams),
      screening_(kMostUnscreened),
      coarsely_(kMostFine),
      coarse_(!group.starts.empty() && !group.boosts.any()),
      marks_(group.count * std::max(kScreenStreams, coarse_ ? 2 * kStretch : 0)),
      passed_(coarse_ ? group.count : 0),
      found_(table_.screened() || by_rows_ ? group.count : 0),
      packed_(std::max(kernels.packed_size_f32(table_.width, kBlock),
                       kernels.packed_size_f32(table_.codes_stride / 4, kBlock))),
      scores_(group.count * kBlock),
      gathered_(std::max(table_.width, table_.codes_stride / 4) * kBlock),
      bias_(kBlock) {
  // Products of pairs that are found one by one cost more than a better bound does.
  for (const PlaceSet* const excluded : group.excluded) {
    best_.push_back(found_.empty() ? Best(group.k, excluded) : Best::eager(group.k, excluded));
    best_.back().share_among(group.shares.size() / group.count);
  }
}

// A bit for each item of a block that may be found.
std::uint64_t Scan::present(std::size_t block) const {
  const std::uint64_t all = ~std::uint64_t{0} >> (kBlock - index_.rows(block).size());
  return group_.allowed.empty() ? all : all & group_.allowed[block];
}

void Scan::look_at_sample(std::size_t begin, std::size_t end) {
  const std::size_t first = (begin + kSample - 1) / kSample * kSample;
  for (std::size_t block = first; block < end; block += kSample) {
    look(block, std::min(block + kSample, end - 1));
  }
  finish();
}

void Scan::look_at_others(std::size_t begin, std::size_t end) {
  if (coarse_) {
    look_coarsely(begin, end);
  } else if (by_rows_ || group_.boosts.any()) {
    look_one_by_one(begin, end);
  } else {
    look_at_stretches(begin, end);
  }
  finish();
}

void Scan::look_one_by_one(std::size_t begin, std::size_t end) {
  // Streams of blocks that lie side by side, a block of each in turn.
  const std::size_t streams = by_rows_ ? kScreenStreams : 1;
  const std::size_t each = (end - begin + streams - 1) / streams;
  for (std::size_t i = 0; i < each; ++i) {
    for (std::size_t block = begin + i; block < end; block += each) {
      if (block % kSample != 0) look(block, std::min(block + 1, end - 1));
    }
  }
}

// What a score has to reach is worked out once for several blocks.
void Scan::look_at_stretches(std::size_t begin, std::size_t end) {
  for (std::size_t at = begin; at < end; at += kStretch) {
    see_least();
    const std::size_t last = std::min(at + kStretch, end);
    if (!group_.bounds.reach(bounds_of(at, last), least_, reach_)) continue;
    for (std::size_t block = at; block < last; ++block) {
      Watch::check();
      const std::size_t next = std::min(block + 1, end - 1);
      index_.prefetch_details(next);
      if (block % kSample == 0 || present(block) == 0) continue;
      multiply_or_screen(block, next);
    }
  }
}

BlockBounds Scan::bounds_of(std::size_t begin, std::size_t end) const {
  BlockBounds bounds;
  for (std::size_t block = begin; block < end; ++block) bounds.include(index_.bounds(block));
  return bounds;
}

void Scan::look(std::size_t block, std::size_t next) {
  by_rows_ ? wait_for(block, next) : look_at(block, next);
}

// What waits for more.
void Scan::finish() {
  screen_waiting();
  for (std::size_t query = 0; query < passed_.size(); ++query) narrow(query, 0);
  for (std::size_t query = 0; query < found_.size(); ++query) refine(query);
}

// Whether a pair of the block may be found, and what its score has to reach.
bool Scan::matters(std::size_t block, std::span<float> reach) {
  Watch::check();
  if (present(block) == 0) return false;
  see_least();
  if (group_.boosts.any()) {
    boosts_.look_at(index_.places(block));
    boosts_.need(least_, needed_);
  }
  const std::vector<float>& needed = group_.boosts.any() ? needed_ : least_;
  return group_.bounds.reach(index_.bounds(block), needed, reach);
}

void Scan::see_least() {
  for (std::size_t query = 0; query < group_.count; ++query) {
    least_[query] =
        std::max(best_[query].least(), group_.least[query].load(std::memory_order_relaxed));
  }
}

void Scan::look_at(std::size_t block, std::size_t next) {
  if (matters(block, reach_)) multiply_or_screen(block, next);
}

void Scan::multiply_or_screen(std::size_t block, std::size_t next) {
  const bool screened = screening_.comes_next() && table_.screened();
  if (screened) {
    pack(block, Form::kCodes);
    screen(block, next);
    return;
  }
  // In two parts: a core waits for so many lines and no more, and what comes after waits with them.
  prefetch(next, 0, kBlock / 2);
  pack(block, Form::kVectors);
  prefetch(next, kBlock / 2, kBlock);
  multiply(block);
}

// Blocks that are read together. What lies side by side is prefetched best by the core itself.
void Scan::wait_for(std::size_t block, std::size_t next) {
  if (!matters(block, reach_of(waiting_))) return;
  index_.prefetch_details(next);
  if (!index_.is_whole(index_.lines(table_.read()), block)) prefetch(next, 0, kBlock);
  if (!screening_.comes_next()) {
    pack(block, Form::kVectors);
    multiply(block);
    return;
  }
  blocks_[waiting_++] = block;
  if (waiting_ == kScreenStreams) screen_waiting();
}

// Sums of products in another order than that of scores, or of codes, tell whose scores may be
// among the best.
void Scan::screen_waiting() {
  const Form form = table_.read();
  const std::size_t room = kBlock * table_.line_bytes(form) / sizeof(float);
  gathered_.resize(std::max(gathered_.size(), waiting_ * room));
  ScreenRows rows[kScreenStreams];
  for (std::size_t s = 0; s < waiting_; ++s) {
    const std::size_t block = blocks_[s];
    rows[s] = find_block(block, form, gathered_.data() + s * room);
    if (form == Form::kCodes) {
      rows[s].start = index_.starts(block);
      rows[s].scale = index_.scales(block);
    }
    rows[s].bias = index_.biases(block);
    rows[s].least = reach_.data() + s * group_.count;
    rows[s].marks = marks_.data() + s * group_.count;
  }
  if (form == Form::kCodes) {
    kernels_.screen_rows_s7(group_.codes.data(), group_.bounds.scales(), group_.count, rows,
                            waiting_, table_.codes_stride);
  } else {
    kernels_.screen_rows_f32(group_.queries, group_.count, rows, waiting_, table_.width);
  }
  for (std::size_t s = 0; s < waiting_; ++s) note(blocks_[s], form, rows[s].marks);
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

// Meanwhile the next one's codes come, a part with some queries each.
void Scan::screen(std::size_t block, std::size_t next) {
  const ScreenBlock items{packed_.data(), index_.starts(block), index_.scales(block),
                          index_.biases(block)};
  const std::size_t parts = std::min(kScreenParts, (group_.count + kFewQueries - 1) / kFewQueries);
  for (std::size_t part = 0; part < parts; ++part) {
    const std::size_t query = group_.count * part / parts;
    const std::size_t count = group_.count * (part + 1) / parts - query;
    prefetch(next, kBlock * part / parts, kBlock * (part + 1) / parts);
    kernels_.screen_s7(group_.codes.data() + query * table_.codes_stride,
                       group_.bounds.scales() + query, reach_.data() + query, count, items,
                       table_.codes_stride, marks_.data() + query);
  }
  note(block, Form::kCodes, marks_.data());
}

// Items of a block that are to be refined, those that are marked for each query.
void Scan::note(std::size_t block, Form form, const std::uint64_t* marks_of) {
  const std::size_t pairs = group_.count * index_.rows(block).size();
  const std::uint64_t found_here = present(block);
  if (group_.boosts.any()) {
    std::size_t count = 0;
    for (std::size_t query = 0; query < group_.count; ++query) {
      count += count_set(marks_of[query] & found_here);
    }
    const bool paid = count * kShare <= pairs;
    screening_.count(paid);
    if (!paid) {
      pack(block, Form::kVectors);
      multiply(block);
      return;
    }
  }
  if (form == Form::kVectors) refined_ += pairs;
  const VectorIndex::Lines lines = index_.lines(Form::kVectors);
  for (std::size_t query = 0; query < group_.count; ++query) {
    std::uint64_t marks = marks_of[query] & found_here;
    if (marks == 0) continue;
    for (; marks != 0; marks &= marks - 1) {
      const std::size_t number = block * kBlock + static_cast<std::size_t>(std::countr_zero(marks));
      if (best_[query].is_excluded(index_.place(number))) continue;
      prefetch_bytes(index_.line(lines, number), table_.line_bytes(Form::kVectors));
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
  std::uint32_t places[kBlock];
  for (std::size_t begin = 0; begin < found.size(); begin += kBlock) {
    const std::size_t count = std::min(kBlock, found.size() - begin);
    for (std::size_t i = 0; i < count; ++i) {
      places[i] = index_.place(found[begin + i]);
      if (table_.biased) bias_[i] = index_.biases(0)[found[begin + i]];
    }
    gather(Form::kVectors, std::span(found).subspan(begin, count), gathered_.data());
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
  const float least = best_[query].least(), shared = best_[query].shared();
  if (least > least_[query]) raise(group_.least[query], least);
  if (shared <= told_[query]) return;
  told_[query] = shared;
  const std::size_t threads = group_.shares.size() / group_.count;
  const auto shares = std::span(group_.shares).subspan(query * threads, threads);
  shares[worker_].store(shared, std::memory_order_relaxed);
  float all = shared;
  for (const auto& each : shares) all = std::min(all, each.load(std::memory_order_relaxed));
  raise(group_.least[query], all);
}

// The codes or vectors of some items side by side, and zeros up to a block.
void Scan::gather(Form form, std::span<const std::uint32_t> numbers, float* room) const {
  const VectorIndex::Lines lines = index_.lines(form);
  const std::size_t bytes = table_.line_bytes(form);
  auto* to = reinterpret_cast<std::byte*>(room);
  for (const std::uint32_t number : numbers) {
    std::memcpy(to, index_.line(lines, number), bytes);
    to += bytes;
  }
  std::memset(to, 0, (kBlock - numbers.size()) * bytes);
}

// Those of a block where they lie, or in room for them where they are apart.
ScreenRows Scan::find_block(std::size_t block, Form form, float* room) const {
  const VectorIndex::Lines lines = index_.lines(form);
  ScreenRows found{};
  found.rows = index_.line(lines, block * kBlock);
  found.step = lines.step;
  if (index_.is_whole(lines, block)) return found;
  std::uint32_t numbers[kBlock];
  const std::size_t count = index_.rows(block).size();
  std::iota(numbers, numbers + count, static_cast<std::uint32_t>(block * kBlock));
  gather(form, {numbers, count}, room);
  found.rows = reinterpret_cast<const std::byte*>(room);
  found.step = table_.line_bytes(form);
  return found;
}

// Lays what the block is multiplied by out: its codes, or its vectors.
void Scan::pack(std::size_t block, Form form) {
  const ScreenRows lying = find_block(block, form, gathered_.data());
  kernels_.pack_f32(reinterpret_cast<const float*>(lying.rows),
                    table_.line_bytes(form) / sizeof(float), kBlock, 1, lying.step / sizeof(float),
                    packed_.data());
}

void Scan::prefetch(std::size_t block, std::size_t begin, std::size_t end) const {
  const VectorIndex::Lines lines = index_.lines(table_.read());
  const std::size_t bytes = table_.line_bytes(table_.read());
  end = std::min(end, index_.rows(block).size());
  // As a whole where what is read lies side by side.
  const bool dense = index_.is_whole(lines, block) && lines.step == bytes;
  const std::size_t step = dense ? std::max<std::size_t>(end, 1) : 1;
  for (std::size_t i = begin; i < end; i += step) {
    prefetch_bytes(index_.line(lines, block * kBlock + i), std::min(step, end - i) * bytes);
  }
}

}  // namespace pyrec
