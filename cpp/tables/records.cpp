#include "tables/records.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "tables/work.h"

namespace pyrec {

namespace {

constexpr std::size_t kBlockBytes = std::size_t{1} << 21;
constexpr std::size_t kSlack = 128;  // a read of whole vectors may pass the last row's end

}  // namespace

Records::Records(std::span<const std::size_t> strides, std::size_t least, std::size_t most) {
  for (const std::size_t stride : strides) stride_ += stride;
  block_rows_ =
      std::max<std::size_t>(64, std::bit_ceil(kBlockBytes / std::max<std::size_t>(stride_, 1)));
  most_rows_ = std::min<std::size_t>(most + block_rows_, std::size_t{1} << 31);
  for (const std::size_t stride : strides) {
    auto region =
        std::make_unique<Region>((std::max<std::size_t>(least, 1) + block_rows_) * stride + kSlack,
                                 (most + block_rows_) * stride + kSlack);
    if (stride > 0) most_rows_ = std::min(most_rows_, (region->room() - kSlack) / stride);
    parts_.push_back({stride, std::move(region)});
  }
  most_rows_ = most_rows_ / block_rows_ * block_rows_;
}

void Records::write(std::size_t row, const std::byte* packed, std::size_t count, std::size_t first,
                    std::size_t end) {
  if (end == first + 1) {
    std::memcpy(this->row(row, first), packed, count * parts_[first].stride);
    return;
  }
  std::size_t width = 0, offset = 0;
  for (std::size_t part = first; part < end; ++part) width += parts_[part].stride;
  for (std::size_t part = first; part < end; ++part) {
    const std::size_t stride = parts_[part].stride;
    for (std::size_t i = 0; i < count; ++i) {
      std::memcpy(this->row(row + i, part), packed + i * width + offset, stride);
    }
    offset += stride;
  }
}

void Records::copy(std::size_t row, const Records& from, std::size_t other) {
  for (std::size_t part = 0; part < parts_.size(); ++part) {
    std::memcpy(this->row(row, part), from.row(other, part), parts_[part].stride);
  }
}

bool Records::scattered() const {
  return used_blocks_ * block_rows_ > taken_ + taken_ / 4 + 2 * block_rows_;
}

// Blocks up to seven eighths full: without them less is lost than what counts as scattered, by so
// much that rows are moved a bounded number of times for each that is freed.
std::vector<bool> Records::emptier_blocks() const {
  std::vector<bool> found(blocks_.size());
  work_of_changes += found.size();
  for (std::size_t i = 0; i < found.size(); ++i) {
    found[i] = blocks_[i].taken > 0 && blocks_[i].taken < block_rows_ / 8 * 7;
  }
  return found;
}

// Lets `rows` be taken where `free` are free already.
bool Records::extend(std::size_t free, std::size_t rows) {
  if (rows <= free) return true;
  const std::size_t needed = blocks_.size() + (rows - free + block_rows_ - 1) / block_rows_;
  if (needed * block_rows_ > most_rows_) return false;
  // Everything that can fail comes first.
  for (const Part& part : parts_) {
    part.region->commit(std::min(needed * block_rows_ * part.stride + kSlack, part.region->room()));
  }
  const std::size_t room = std::max(needed, blocks_.size() + blocks_.size() / 4);
  bits_.reserve(room * block_rows_ / 64);
  blocks_.reserve(room);
  bits_.resize(needed * block_rows_ / 64);
  const std::size_t before = blocks_.size();
  blocks_.resize(needed);
  // So that the first of them is taken first.
  for (std::size_t block = needed; block-- > before;) {
    move(static_cast<std::uint32_t>(block), List::kReturned);
  }
  capacity_.store(needed * block_rows_, std::memory_order_release);
  return true;
}

void Records::move(std::uint32_t number, List list) noexcept {
  Block& block = blocks_[number];
  if (block.list == list) return;
  if (block.list == List::kIdle) --idle_blocks_;
  if (list == List::kIdle) ++idle_blocks_;
  if (block.list != List::kFull) {
    std::uint32_t& before = block.previous == kNone ? heads_[static_cast<std::size_t>(block.list)]
                                                    : blocks_[block.previous].next;
    before = block.next;
    if (block.next != kNone) blocks_[block.next].previous = block.previous;
  }
  block.list = list;
  block.previous = kNone;
  block.next = kNone;
  if (list == List::kFull) return;
  std::uint32_t& head = heads_[static_cast<std::size_t>(list)];
  block.next = head;
  if (head != kNone) blocks_[head].previous = number;
  head = number;
}

bool Records::take(std::span<Row> rows, const std::vector<bool>& outside) {
  std::size_t free = blocks_.size() * block_rows_ - taken_;
  for (std::uint32_t i = 0; i < outside.size(); ++i) {
    if (outside[i]) free -= block_rows_ - blocks_[i].taken;
  }
  if (!extend(free, rows.size())) return false;
  for (std::uint32_t i = 0; i < outside.size(); ++i) {
    if (outside[i]) move(i, List::kFull);
  }
  take_listed(rows);
  for (std::uint32_t i = 0; i < outside.size(); ++i) {
    if (outside[i]) move(i, List::kPartial);
  }
  return true;
}

void Records::take_listed(std::span<Row> rows) noexcept {
  std::size_t done = 0;
  work_of_changes += rows.size();
  while (done < rows.size()) {
    // Blocks that are partly taken first, so that the others can go back as a whole.
    std::uint32_t number = kNone;
    for (std::size_t list = 0; number == kNone; ++list) number = heads_[list];
    Block& block = blocks_[number];
    if (block.taken == 0) ++used_blocks_;
    const std::size_t words = block_rows_ / 64;
    std::uint64_t* bits = bits_.data() + number * words;
    while (done < rows.size() && block.taken < block_rows_) {
      for (; bits[block.first] == ~std::uint64_t{0}; ++block.first) ++work_of_changes;
      const int bit = std::countr_one(bits[block.first]);
      bits[block.first] |= std::uint64_t{1} << bit;
      rows[done++] =
          static_cast<Row>(number * block_rows_ + block.first * 64 + static_cast<std::size_t>(bit));
      ++block.taken;
    }
    move(number, block.taken == block_rows_ ? List::kFull : List::kPartial);
  }
  taken_ += rows.size();
}

void Records::free(std::span<const Row> rows) noexcept {
  work_of_changes += rows.size();
  for (const Row row : rows) {
    const auto number = static_cast<std::uint32_t>(row / block_rows_);
    Block& block = blocks_[number];
    bits_[row / 64] &= ~(std::uint64_t{1} << (row % 64));
    block.first = std::min(block.first, static_cast<std::uint32_t>(row % block_rows_ / 64));
    --block.taken;
    if (block.taken == 0) {
      --used_blocks_;
      move(number, List::kEmptied);
    } else if (block.list == List::kFull) {
      move(number, List::kPartial);
    }
  }
  taken_ -= rows.size();
  settle();
}

// Gives back the memory of blocks that have lost their last row. Some without a taken row are kept,
// so that rows that are replaced a few at a time cost no pages.
void Records::settle() noexcept {
  const std::uint32_t& emptied = heads_[static_cast<std::size_t>(List::kEmptied)];
  const std::uint32_t& idle = heads_[static_cast<std::size_t>(List::kIdle)];
  const std::size_t most = std::max<std::size_t>(1, used_blocks_ / 16);
  while (idle_blocks_ > most) move(idle, List::kEmptied);
  while (idle_blocks_ < most && emptied != kNone) move(emptied, List::kIdle);
  if (emptied == kNone) return;
  for (std::uint32_t block = emptied; block != kNone; block = blocks_[block].next) {
    for (const Part& part : parts_) give_back(block, part);
  }
  while (emptied != kNone) move(emptied, List::kReturned);
}

// A huge page that two blocks share goes back as one where both are unused: of one that was given
// back in pieces, the system makes small pages ever after.
void Records::give_back(std::size_t block, const Part& part) noexcept {
  const std::size_t bytes = block_rows_ * part.stride;
  if (bytes == 0) return;
  std::size_t begin = block * bytes, end = begin + bytes;
  const std::size_t first = begin / Region::kHugePage * Region::kHugePage;
  for (std::size_t before = block; begin > first && before > 0 && is_unused(before - 1); --before) {
    begin = std::max(first, begin - std::min(begin, bytes));
  }
  const std::size_t last = (end + Region::kHugePage - 1) / Region::kHugePage * Region::kHugePage;
  for (std::size_t after = block + 1; end < last && is_unused(after); ++after) {
    end = std::min(last, end + bytes);
  }
  part.region->give_back(begin, end);
}

}  // namespace pyrec
