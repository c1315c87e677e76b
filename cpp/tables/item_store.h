#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <span>
#include <vector>

#include "tables/item_index.h"
#include "tables/keys.h"
#include "tables/records.h"

namespace pyrec {

// Items by id: a record of bytes for each, in one part or several, in the order in which the ids
// entered. Any number of threads may read and change it. A change is seen whole or not at all, and
// whatever it throws, it throws before anything has changed. Records never change while a reader
// may see them: a new version of an item is a new record, and the old one is free when its last
// reader has finished.
class ItemStore {
 public:
  using Row = Records::Row;

  // Readers of one version of the store hold this.
  struct Epoch {};

  // What a reader holds while it reads records.
  class View {
   public:
    View() = default;
    View(const View&) = delete;
    View& operator=(const View&) = delete;
    ~View();
    const Records& records() const { return *records_; }
    std::size_t capacity() const { return capacity_; }
    const ItemIndex& index() const { return *index_; }

   private:
    friend class ItemStore;
    ItemStore* store_ = nullptr;
    std::shared_ptr<const Records> records_;
    std::shared_ptr<const ItemIndex> index_;
    std::shared_ptr<const Epoch> epoch_;
    std::size_t capacity_ = 0;
  };

  // Items that are looked for, all in order without keys, and the row and the place of each.
  struct Selection {
    const Keys* keys = nullptr;
    std::vector<std::int64_t> rows;
    std::vector<std::int64_t> places;
  };

  // Records that nobody reads yet. Let go of without a change, they are free again.
  class Batch {
   public:
    explicit Batch(ItemStore& store) : store_(store) {}
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;
    ~Batch();
    std::size_t size() const { return rows_.size(); }
    // Where a part of a record is to be written.
    std::byte* record(std::size_t number, std::size_t part = 0) const {
      return records_->row(rows_[number], part);
    }
    // The first part of all records, and which of them are the batch's.
    const std::byte* table() const { return records_->row(0); }
    std::span<const Row> rows() const { return rows_; }
    // Lets record i, not yet written, lie where record order[i] would.
    void arrange(std::span<const std::int64_t> order);
    // Writes successive records from number `first` on, `width` bytes each: whole parts from number
    // `part` on, one after the other. False where no parts have this width.
    bool write(std::size_t first, const std::byte* records, std::size_t count, std::size_t width,
               std::size_t part = 0);

   private:
    friend class ItemStore;
    ItemStore& store_;
    std::shared_ptr<Records> records_;
    std::vector<Row> rows_;
  };

  // Records of parts of these many bytes.
  ItemStore(std::vector<std::size_t> strides, bool text, std::size_t room);
  ~ItemStore();
  ItemStore(const ItemStore&) = delete;
  ItemStore& operator=(const ItemStore&) = delete;

  bool text() const { return text_; }
  // Bytes of a record, of all its parts.
  std::size_t stride() const { return stride_; }
  std::size_t stride(std::size_t part) const { return strides_[part]; }
  std::size_t size() const;
  std::size_t capacity() const;
  std::size_t taken() const;

  // Begins to read what it finds.
  void find(const Keys& keys, std::span<std::int64_t> rows, View& view) const;
  // Begins to read all that it finds, of one state of the store.
  void read(View& view, std::span<Selection> selections) const;
  // The row of each key, or ItemIndex::kAbsent, in the state that a view is of; false where that
  // has changed.
  bool find_in(const View& view, const Keys& keys, std::span<std::int64_t> rows) const;
  // Whether nothing has changed since.
  bool is_current(const View& view) const;

  void take(std::size_t count, Batch& batch);
  // Lets the keys, all different, stand for the batch's records.
  void put(const Keys& keys, Batch& batch);
  // How many of the keys stood for something.
  std::size_t erase(const Keys& keys);

 private:
  struct Change {
    std::shared_ptr<const Epoch> epoch;
    std::vector<Row> retired;
  };
  struct Registry;
  using Changes = std::list<Change>;

  static Registry& registry();
  void fill(View& view) const;
  void take_locked(std::size_t count, Batch& batch);
  template <class Apply>
  std::size_t change(const Keys& added, std::size_t most, const Apply& apply);
  void reclaim() noexcept;
  void reclaim_if_idle() noexcept;
  void move_records(std::size_t more);
  void empty_blocks();
  void tidy() noexcept;
  void forget_other_threads() noexcept;

  const std::vector<std::size_t> strides_;
  const std::size_t stride_;
  const bool text_;
  mutable std::mutex writing_;        // held by who changes anything
  mutable std::shared_mutex seeing_;  // held alone for the moment in which readers see a change
  std::shared_ptr<Records> records_;
  std::shared_ptr<ItemIndex> index_;
  std::shared_ptr<const Epoch> epoch_;
  Changes changes_;  // whose retired records someone may still read, the oldest first
  std::atomic<bool> pending_ = false;
};

}  // namespace pyrec
