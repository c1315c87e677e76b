#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/thread_pool.h"
#include "dispatch/kernels.h"
#include "retrieval/boosts.h"
#include "retrieval/bounds.h"
#include "retrieval/guesses.h"
#include "retrieval/vector_table.h"
#include "selection/place_set.h"
#include "tables/region.h"

namespace pyrec {

// What a search leaves out, and what it does to scores.
struct SearchRules {
  std::span<const std::uint64_t> allowed;  // a bit for each item of each block; empty: all
  // What queries do not get: one set of all queries, one of each, or none.
  std::span<const PlaceSet> excluded;
  Boosts boosts = {};
  // Of no more items all have near scores, where there are codes, before any is multiplied.
  std::size_t few = 0;

  const PlaceSet* excluded_by(std::size_t query) const {
    if (excluded.empty()) return nullptr;
    return &excluded[excluded.size() == 1 ? 0 : query];
  }
};

// The vectors of one state of a store, and the search for those with the largest products. A score
// is the bias of the item and then one chain of multiply_add over the numbers in order, whatever
// else is searched for at the same time. Immutable; the table's memory has to outlive it.
class VectorIndex {
 public:
  // Items that are looked at together.
  static constexpr std::size_t kBlock = kScreenItems;

  // `rows` of all items in order, all different.
  VectorIndex(const VectorTable& table, std::span<const std::int64_t> rows);
  // Those of another index alone that are allowed, a bit for each item of each block. Their places
  // stay what they are there; coarse codes are not read. With `copied` what a search reads of all
  // of them, their codes or else their vectors, is copied, to lie side by side.
  VectorIndex(const VectorIndex& whole, std::span<const std::uint64_t> allowed, bool copied);
  // The same of those of some rows, all different, that have a place there and, where `allowed` is
  // not empty, their bit: in time that follows the number of these rows alone.
  VectorIndex(const VectorIndex& whole, std::span<const std::int64_t> rows,
              std::span<const std::uint64_t> allowed);

  // A bit for each item of each block whose row is flagged, and where `within` is not empty has its
  // bit there; returns how many there are.
  std::size_t mask_of(const std::uint8_t* flags, std::span<const std::uint64_t> within,
                      std::span<std::uint64_t> mask) const;
  // The place of the item of a row, if there is one.
  std::optional<std::uint32_t> place_of(std::int64_t row) const;

  const VectorTable& table() const { return table_; }
  std::size_t size() const { return rows_.size(); }
  std::size_t blocks() const { return blocks_.size(); }
  // Of a block's items, by row: those, the items' places in the order, and their bounds.
  std::span<const std::uint32_t> rows(std::size_t block) const;
  std::span<const std::uint32_t> places(std::size_t block) const;
  const BlockBounds& bounds(std::size_t block) const { return blocks_[block].bounds; }
  // Where vectors or codes lie, and the bytes from one to the next.
  struct Lines {
    const std::byte* from;
    std::size_t step;
    bool copied;  // one after the other by number, zeros at the end of the last block
  };
  Lines lines(Form form) const;
  const std::byte* line(const Lines& lines, std::size_t number) const {
    return lines.from + (lines.copied ? number : row(number)) * lines.step;
  }
  // Whether those of a block lie one after the other, as many as a block has.
  bool is_whole(const Lines& lines, std::size_t block) const {
    return lines.copied || (blocks_[block].run && rows(block).size() == kBlock);
  }
  // Asks for what is read of a block besides its vectors or codes.
  void prefetch_details(std::size_t block) const;
  // kBlock numbers of its details each, zeros at the end of all.
  const float* biases(std::size_t block) const;
  const float* scales(std::size_t block) const { return scales_.data() + block * kBlock; }
  const std::int32_t* starts(std::size_t block) const { return starts_.data() + block * kBlock; }
  // The coarse codes of its items side by side, as ScreenPanels has them, and what is known of
  // these.
  const std::byte* panels(std::size_t block) const {
    return panels_->data() + block * kBlock * table_.coarse_stride;
  }
  const std::uint32_t* coarse(std::size_t block) const { return coarse_.data() + block * kBlock; }
  // By the number of an item among all.
  std::uint32_t row(std::size_t number) const {
    return plain_ ? static_cast<std::uint32_t>(number) : rows_[number];
  }
  std::uint32_t place(std::size_t number) const {
    return plain_ ? static_cast<std::uint32_t>(number) : places_[number];
  }

  // Asks for what tells its row and place.
  void prefetch_number(std::size_t number) const {
    __builtin_prefetch(&rows_[number]);
    __builtin_prefetch(&places_[number]);
  }

  Guesses& guesses() const { return guesses_; }

  // For each of `count` queries, `width` floats each, the places of the k items with the largest
  // scores and these: best first, equal scores by place. k is at most size(). Where the rules leave
  // fewer, places are 0 and scores minus infinity behind them. Queries and biases are finite, and
  // so small that no sum overflows; with boosts scores may be anything, and NaN comes last. Returns
  // how many scores were computed.
  std::size_t search(const Kernels& kernels, ThreadPool& pool, const float* queries,
                     std::size_t count, std::size_t k, const SearchRules& rules,
                     std::int64_t* places, float* scores, std::int64_t* counts) const;

 private:
  struct Block {
    BlockBounds bounds;
    bool run;  // rows lie side by side
  };

  std::optional<std::size_t> number_of(std::int64_t row) const;
  void add(const VectorIndex& whole, std::size_t number);
  void read_details();
  void lay_panels();
  void copy_lines();

  VectorTable table_;
  bool plain_ = false;  // an item's number is its row and its place, and nothing is read to know it
  std::vector<std::uint32_t> rows_;
  std::vector<std::uint32_t> places_;
  std::vector<Block> blocks_;
  std::vector<float> biases_;  // of one block where all are zero
  std::vector<float> scales_;
  std::vector<std::int32_t> starts_;
  std::unique_ptr<Region> panels_;  // null: none
  std::vector<std::uint32_t> coarse_;
  std::vector<std::byte> copy_;  // of codes where there are any, or of vectors; empty: none
  mutable Guesses guesses_;
};

}  // namespace pyrec
