#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tables/keys.h"
#include "tables/records.h"
#include "tables/region.h"

namespace pyrec {

// Ids in the order in which they entered, and the row of each. Whole numbers of which most of a
// range occur lie in an array, all other ids in a hash table. Not synchronized; who removes an id
// leaves a gap in the order, and copies are without gaps.
class ItemIndex {
 public:
  using Row = Records::Row;
  static constexpr std::int64_t kAbsent = -1;

  // How many ids it has room for before it needs a copy: in all, in the hash table, and below
  // which number in the array; and for how many bytes of text.
  struct Room {
    std::size_t items = 0;
    std::size_t hashed = 0;
    std::size_t direct = 0;
    std::size_t bytes = 0;
  };

  ItemIndex(bool text, const Room& room);

  bool text() const { return text_; }
  std::size_t size() const { return live_; }
  std::size_t end() const { return end_; }
  std::string_view text_at(std::size_t place) const;
  std::int64_t number_at(std::size_t place) const { return ids_[place]; }
  // Ask for what tells the id at a place: first this, and of text then that.
  void prefetch_id(std::size_t place) const { __builtin_prefetch(&ids_[place]); }
  void prefetch_text(std::size_t place) const { __builtin_prefetch(text_at(place).data()); }
  bool is_present(std::size_t place) const { return rows_[place] != kGone; }
  Row row_at(std::size_t place) const { return rows_[place]; }

  // The row of each key, and its place in the order if `places` is not empty; kAbsent for a key
  // that has none.
  void find(const Keys& keys, std::span<std::int64_t> rows, std::span<std::int64_t> places) const;
  // All rows in order, and their places if those are not simply 0, 1, 2, ...
  void list(std::vector<std::int64_t>& rows, std::vector<std::int64_t>& places) const;

  // Whether the keys can be assigned at all; if not, a copy with room for them can.
  bool fits(const Keys& keys) const;
  // What assigning the keys needs; to be called before, throws std::bad_alloc. Readers may go on.
  void prepare(const Keys& keys);
  // Gives each key its row and appends the rows that they had. `replaced` has the room.
  void assign(const Keys& keys, std::span<const Row> rows, std::vector<Row>& replaced) noexcept;
  void erase(const Keys& keys, std::vector<Row>& replaced) noexcept;
  // Gives the items at some places other rows.
  void move(std::span<const std::size_t> places, std::span<const Row> rows) noexcept;
  bool has_gaps() const { return end_ - live_ > 64 && 2 * live_ < end_; }

  // The same ids with room for `keys` too. With `moved`, rows become those of that list, by order.
  std::unique_ptr<ItemIndex> copy(const Keys& keys, std::span<const Row> moved) const;

 private:
  static constexpr Row kGone = ~Row{0};
  struct Probe {
    std::size_t slot;
    std::int64_t place;
  };

  bool is_direct(std::int64_t key) const { return static_cast<std::uint64_t>(key) < direct_; }
  std::size_t home(std::uint64_t hash) const;
  std::uint32_t tag(std::uint64_t hash) const;
  template <class Key>
  Probe probe(const Key& key, std::uint64_t hash) const;
  bool same(std::size_t place, std::int64_t key) const { return ids_[place] == key; }
  bool same(std::size_t place, std::string_view key) const { return text_at(place) == key; }
  std::int64_t place_of(const Keys& keys, std::size_t index) const;
  void prefetch(const Keys& keys, std::size_t index) const;
  std::size_t direct_with(const Keys& keys) const;
  bool fits(const Keys& keys, std::size_t added) const;
  std::size_t count_new(const Keys& keys) const;
  Room room_for(const Keys& keys) const;
  template <class Key>
  void append(const Key& key, Row row) noexcept;
  void unlink(std::size_t place) noexcept;

  bool text_;
  std::uint64_t seed_;
  std::uint32_t place_bits_;  // of a slot; the others tell most other keys apart
  std::size_t slots_count_ = 0;
  std::size_t most_hashed_ = 0;
  std::size_t hashed_ = 0;
  std::size_t direct_ = 0;  // keys below it have a place in the array
  std::size_t end_ = 0;
  std::size_t live_ = 0;
  std::size_t bytes_used_ = 0;
  Column<std::int64_t> ids_;  // numbers, or where each text ends
  Column<Row> rows_;
  Column<std::uint32_t> slots_;   // of the hash table: 0, or a place + 1 and a tag
  Column<std::uint32_t> places_;  // of the array: 0, or a place + 1
  Column<char> bytes_;
};

}  // namespace pyrec
