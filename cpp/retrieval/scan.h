#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dispatch/kernels.h"
#include "retrieval/boosts.h"
#include "retrieval/bounds.h"
#include "retrieval/vector_index.h"
#include "selection/best.h"

namespace pyrec {

// Queries that are searched for together.
struct QueryGroup {
  QueryGroup(const VectorIndex& index, const float* queries, std::size_t count, std::size_t k);
  // To be called before so many threads share the items anew.
  void share_among(std::size_t threads);

  const float* queries;
  std::size_t count;
  std::size_t k;
  std::vector<std::uint8_t> codes;
  // For products with coarse codes: without the 64 that codes have added, and minus 8 times the
  // sum of each query's.
  std::vector<std::int8_t> signed_codes;
  std::vector<std::int32_t> starts;
  QueryBounds bounds;
  std::vector<std::atomic<float>> least;  // no score below it is among the k best of all
  // Of each query what a share of k scores reaches of those that each thread has seen: what the
  // least of these tells is about what one thread that had seen all would know. Empty: not asked.
  std::vector<std::atomic<float>> shares;
  std::span<const std::uint64_t> allowed;  // a bit for each item of each block; empty: all
  std::vector<const PlaceSet*> excluded;   // of each query; null: none
  Boosts boosts;
  std::size_t few;  // of no more items near scores are made first
};

// Blocks of which a sample has one: what is found there tells what the others have to reach, in
// whatever order the items lie.
inline constexpr std::size_t kSample = 64;

// Blocks side by side that have one bound.
inline constexpr std::size_t kStretch = 16;

// What may not pay: after each time that it did not, it is left more and more often.
class Trial {
 public:
  explicit Trial(std::size_t most) : most_(most) {}
  bool comes_next() {
    if (left_ == 0) return true;
    --left_;
    return false;
  }
  void count(bool paid) {
    if (!paid) left_ = pause_;
    pause_ = paid ? 0 : std::min(2 * pause_ + 1, most_);
  }

 private:
  std::size_t most_;
  std::size_t left_ = 0;
  std::size_t pause_ = 0;
};

// One thread's share of a search: blocks of items, against a group of queries.
class Scan {
 public:
  Scan(const VectorIndex& index, const Kernels& kernels, QueryGroup& group, std::size_t worker);

  // Of blocks `begin` to `end` those of a sample, or all others.
  void look_at_sample(std::size_t begin, std::size_t end);
  void look_at_others(std::size_t begin, std::size_t end);
  // Writes what the codes give for the scores of blocks `begin` to `end`, kBlock of each block;
  // those of all blocks lie side by side, query by query. Minus infinity where no item may be
  // found.
  void score_nearly(std::size_t begin, std::size_t end, std::span<float> near);
  // The scores of those of a query whose near ones, written before for all blocks, may be among the
  // best. Changes these.
  void look_at_near(std::size_t query, std::span<float> near);
  std::vector<Entry> take(std::size_t query) { return best_[query].take(); }
  // How many products were computed in float32.
  std::size_t refined() const { return refined_; }

 private:
  void see_least();
  bool matters(std::size_t block, std::span<float> reach);
  void look_one_by_one(std::size_t begin, std::size_t end);
  void look_at_stretches(std::size_t begin, std::size_t end);
  BlockBounds bounds_of(std::size_t begin, std::size_t end) const;
  void look(std::size_t block, std::size_t next);
  void finish();
  void look_at(std::size_t block, std::size_t next);
  void multiply_or_screen(std::size_t block, std::size_t next);
  void wait_for(std::size_t block, std::size_t next);
  void screen_waiting();
  std::uint64_t present(std::size_t block) const;
  void multiply(std::size_t block);
  void screen(std::size_t block, std::size_t next);
  void note(std::size_t block, Form form, const std::uint64_t* marks_of);
  void look_coarsely(std::size_t begin, std::size_t end);
  void add_stretches(const std::size_t (&firsts)[2], const std::size_t (&ends)[2]);
  std::span<float> reach_of(std::size_t part) {
    return std::span(reach_).subspan(part * group_.count, group_.count);
  }
  void score_rows(std::size_t first, std::size_t count, std::span<float> near);
  void score_packed(std::size_t first, std::size_t count, std::span<float> near);
  void leave_out_absent(std::size_t block, std::span<float> near) const;
  template <class See>
  void each_near(std::size_t query, std::size_t begin, std::size_t end, float least,
                 std::span<const float> near, See&& see) const;
  float reached_nearly(std::size_t wanted, std::span<const float> near) const;
  std::vector<Entry> find_nearest(std::size_t query, std::span<const float> near);
  std::span<float> near_of(std::size_t query, std::span<float> near) const;
  void refine_together(std::size_t query);
  void screen_panels();
  void note_panels(std::size_t block, const std::uint64_t* marks_of);
  void narrow(std::size_t query, std::size_t waiting);
  void refine(std::size_t query);
  void gather(Form form, std::span<const std::uint32_t> numbers, float* room) const;
  ScreenRows find_block(std::size_t block, Form form, float* room) const;
  void pack(std::size_t block, Form form);
  void seen(std::size_t query);
  void prefetch(std::size_t block, std::size_t begin, std::size_t end) const;

  const VectorIndex& index_;
  const VectorTable& table_;
  const Kernels& kernels_;
  QueryGroup& group_;
  const std::size_t worker_;
  const bool by_rows_;  // few queries, whose products with what lies in rows are the screen
  std::size_t refined_ = 0;
  std::vector<Best> best_;
  std::vector<float> least_;  // as the group's
  std::vector<float> told_;   // the group's shares that are of this thread
  BlockBoosts boosts_;
  std::vector<float> needed_;  // of products
  std::vector<float> reach_;
  Trial screening_;
  Trial coarsely_;
  const bool coarse_;  // whether there are coarse codes to be read
  std::vector<std::uint64_t> marks_;
  std::vector<std::vector<std::uint32_t>> passed_;  // items of each query by their coarse codes
  std::vector<std::vector<std::uint32_t>> found_;   // those to be refined
  std::vector<float> packed_;
  std::vector<float> scores_;
  std::vector<float> gathered_;
  std::vector<float> bias_;
  std::size_t blocks_[kScreenStreams];  // that wait for others
  std::size_t waiting_ = 0;
  std::vector<std::size_t> stretch_;  // blocks whose coarse codes are read together
  std::vector<ScreenPanels> panels_;
};

}  // namespace pyrec
