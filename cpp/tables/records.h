#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "tables/region.h"

namespace pyrec {

// Rows of as many bytes each, which never move: of one part, or of several that lie apart. They are
// taken and freed one by one, and lie in blocks whose memory goes back to the system when none of
// their rows is taken. Not synchronized, but for `capacity`; who has taken a row may write it.
class Records {
 public:
  using Row = std::uint32_t;

  // Parts of these many bytes.
  Records(std::span<const std::size_t> strides, std::size_t least, std::size_t most);

  std::size_t parts() const { return parts_.size(); }
  std::size_t stride(std::size_t part = 0) const { return parts_[part].stride; }
  std::byte* row(std::size_t row, std::size_t part = 0) const {
    return parts_[part].region->data() + row * parts_[part].stride;
  }
  // Writes parts `first` to `end` of rows that lie side by side: `packed` has those of each one
  // after the other.
  void write(std::size_t row, const std::byte* packed, std::size_t count, std::size_t first,
             std::size_t end);
  void copy(std::size_t row, const Records& from, std::size_t other);
  // Rows below this number can be read.
  std::size_t capacity() const { return capacity_.load(std::memory_order_acquire); }
  std::size_t taken() const { return taken_; }
  // Whether much of the memory lies in free rows between taken ones.
  bool scattered() const;
  // Of each block, whether its rows had better move to others.
  std::vector<bool> emptier_blocks() const;
  std::size_t block_of(Row row) const { return row / block_rows_; }

  // Takes a row for each place, outside some blocks; false if there is no room for so many.
  bool take(std::span<Row> rows, const std::vector<bool>& outside = {});
  void free(std::span<const Row> rows) noexcept;

 private:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  enum class List : std::uint32_t { kPartial, kIdle, kReturned, kEmptied, kFull };
  struct Block {
    std::uint32_t taken = 0;
    std::uint32_t first = 0;  // no row below it is free, in words of the bitmap
    std::uint32_t previous = kNone;
    std::uint32_t next = kNone;
    List list = List::kFull;
  };

  struct Part {
    std::size_t stride;
    std::unique_ptr<Region> region;
  };

  bool extend(std::size_t free, std::size_t rows);
  void take_listed(std::span<Row> rows) noexcept;
  void move(std::uint32_t block, List list) noexcept;
  void settle() noexcept;
  void give_back(std::size_t block, const Part& part) noexcept;
  bool is_unused(std::size_t block) const {
    return block < blocks_.size() &&
           (blocks_[block].list == List::kEmptied || blocks_[block].list == List::kReturned);
  }

  std::size_t stride_ = 0;  // of all parts
  std::size_t block_rows_;  // a power of two, at least 64
  std::vector<Part> parts_;
  std::size_t most_rows_;
  std::vector<Block> blocks_;
  std::vector<std::uint64_t> bits_;  // of each row, whether it is taken
  std::uint32_t heads_[4] = {kNone, kNone, kNone, kNone};
  std::size_t used_blocks_ = 0;  // with a taken row
  std::size_t idle_blocks_ = 0;  // without, whose memory is kept
  std::size_t taken_ = 0;
  std::atomic<std::size_t> capacity_ = 0;
};

}  // namespace pyrec
