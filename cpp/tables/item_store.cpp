#include "tables/item_store.h"

#include <pthread.h>

#include <algorithm>
#include <new>
#include <numeric>
#include <set>
#include <utility>

#include "tables/work.h"

namespace pyrec {

namespace {

// Larger changes are made to a copy of the index, so that no reader waits for them.
std::size_t in_place(std::size_t items) { return 4096 + items / 16; }

std::size_t room_above(std::size_t bytes, std::size_t stride) {
  constexpr std::size_t kLeast = std::size_t{1} << 32;
  return std::max(16 * bytes, kLeast) / std::max<std::size_t>(stride, 1);
}

}  // namespace

// All stores of the process. A fork waits until none is half changed; the child has the locks anew.
struct ItemStore::Registry {
  std::mutex mutex;
  std::set<ItemStore*> stores;

  Registry() { pthread_atfork(&before, &after_in_parent, &after_in_child); }

  static void before() {
    Registry& all = registry();
    all.mutex.lock();
    for (ItemStore* store : all.stores) {
      store->writing_.lock();
      store->seeing_.lock();
    }
  }
  static void after_in_parent() {
    Registry& all = registry();
    for (ItemStore* store : all.stores) {
      store->seeing_.unlock();
      store->writing_.unlock();
    }
    all.mutex.unlock();
  }
  static void after_in_child() {
    Registry& all = registry();
    for (ItemStore* store : all.stores) store->forget_other_threads();
    new (&all.mutex) std::mutex;
  }
};

ItemStore::Registry& ItemStore::registry() {
  // Never destroyed: a fork may come after everything else.
  static Registry* const kAll = new Registry;
  return *kAll;
}

// The locks are made anew, not destroyed: threads that the child does not have may hold them, or
// wait. What other threads read, nobody reads here.
void ItemStore::forget_other_threads() noexcept {
  new (&writing_) std::mutex;
  new (&seeing_) std::shared_mutex;
  for (const Change& change : changes_) records_->free(change.retired);
  changes_.clear();
  epoch_ = std::make_shared<const Epoch>();
  pending_ = false;
}

ItemStore::ItemStore(std::vector<std::size_t> strides, bool text, std::size_t room)
    : strides_(std::move(strides)),
      stride_(std::accumulate(strides_.begin(), strides_.end(), std::size_t{0})),
      text_(text),
      records_(std::make_shared<Records>(strides_, room, room_above(room * stride_, stride_))),
      index_(std::make_shared<ItemIndex>(text, ItemIndex::Room{})),
      epoch_(std::make_shared<const Epoch>()) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  all.stores.insert(this);
}

ItemStore::~ItemStore() {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  all.stores.erase(this);
}

std::size_t ItemStore::size() const {
  const std::shared_lock lock(seeing_);
  return index_->size();
}

std::size_t ItemStore::capacity() const {
  const std::shared_lock lock(seeing_);
  return records_->capacity();
}

std::size_t ItemStore::taken() const {
  const std::lock_guard lock(writing_);
  return records_->taken();
}

void ItemStore::fill(View& view) const {
  view.store_ = const_cast<ItemStore*>(this);
  view.records_ = records_;
  view.index_ = index_;
  view.epoch_ = epoch_;
  view.capacity_ = records_->capacity();
}

void ItemStore::find(const Keys& keys, std::span<std::int64_t> rows, View& view) const {
  const std::shared_lock lock(seeing_);
  fill(view);
  index_->find(keys, rows, {});
}

void ItemStore::read(View& view, std::span<Selection> selections) const {
  for (Selection& selection : selections) {
    if (selection.keys == nullptr) continue;
    selection.rows.resize(selection.keys->size());
    selection.places.resize(selection.keys->size());
  }
  const std::shared_lock lock(seeing_);
  fill(view);
  for (Selection& selection : selections) {
    if (selection.keys == nullptr) {
      index_->list(selection.rows, selection.places);
    } else {
      index_->find(*selection.keys, selection.rows, selection.places);
    }
  }
}

bool ItemStore::find_in(const View& view, const Keys& keys, std::span<std::int64_t> rows) const {
  const std::shared_lock lock(seeing_);
  if (view.epoch_ != epoch_) return false;
  index_->find(keys, rows, {});
  return true;
}

bool ItemStore::is_current(const View& view) const {
  const std::shared_lock lock(seeing_);
  return view.epoch_ == epoch_;
}

ItemStore::View::~View() {
  if (store_ == nullptr) return;
  epoch_.reset();
  store_->reclaim_if_idle();
}

void ItemStore::reclaim_if_idle() noexcept {
  // Who holds the lock sees to it later.
  if (!pending_.load(std::memory_order_relaxed) || !writing_.try_lock()) return;
  reclaim();
  writing_.unlock();
}

// Records whose last reader has finished are free; in the order of the changes, since who reads an
// older version may see what later changes retired.
void ItemStore::reclaim() noexcept {
  while (!changes_.empty() && changes_.front().epoch.use_count() == 1) {
    // What the readers have read happens before what is written there next: who drops a copy
    // acquires what they released. A fence would do, but ThreadSanitizer knows none.
    auto copy = changes_.front().epoch;
    ++work_of_changes;
    copy.reset();
    records_->free(changes_.front().retired);
    changes_.pop_front();
  }
  pending_.store(!changes_.empty(), std::memory_order_relaxed);
}

ItemStore::Batch::~Batch() {
  if (rows_.empty()) return;
  const std::lock_guard lock(store_.writing_);
  records_->free(rows_);
}

bool ItemStore::Batch::write(std::size_t first, const std::byte* records, std::size_t count,
                             std::size_t width, std::size_t part) {
  std::size_t end = part, bytes = 0;
  while (end < records_->parts() && bytes < width) bytes += records_->stride(end++);
  if (bytes != width) return false;
  for (std::size_t i = 0; i < count; ++i) {
    // Records that lie side by side are copied at once.
    std::size_t run = 1;
    while (i + run < count && rows_[first + i + run] == rows_[first + i] + run) ++run;
    records_->write(rows_[first + i], records + i * width, run, part, end);
    i += run - 1;
  }
  return true;
}

void ItemStore::Batch::arrange(std::span<const std::int64_t> order) {
  std::vector<Row> arranged(rows_.size());
  for (std::size_t i = 0; i < arranged.size(); ++i) {
    arranged[i] = rows_[static_cast<std::size_t>(order[i])];
  }
  rows_.swap(arranged);
}

void ItemStore::take(std::size_t count, Batch& batch) {
  const std::lock_guard lock(writing_);
  reclaim();
  take_locked(count, batch);
}

void ItemStore::take_locked(std::size_t count, Batch& batch) {
  std::vector<Row> rows(count);
  if (!records_->take(rows)) {
    move_records(count);
    if (!records_->take(rows)) throw std::bad_alloc();
  }
  batch.records_ = records_;
  batch.rows_ = std::move(rows);
}

// Moves all records to a place with more room, without the gaps between them.
void ItemStore::move_records(std::size_t more) {
  const std::size_t count = index_->size();
  auto records = std::make_shared<Records>(strides_, count + more,
                                           room_above((count + more) * stride_, stride_));
  std::vector<Row> rows(count);
  if (!records->take(rows)) throw std::bad_alloc();
  work_of_changes += index_->end();
  std::size_t number = 0;
  for (std::size_t place = 0; place < index_->end(); ++place) {
    if (!index_->is_present(place)) continue;
    records->copy(rows[number++], *records_, index_->row_at(place));
  }
  std::shared_ptr<ItemIndex> index = index_->copy({}, rows);
  auto epoch = std::make_shared<const Epoch>();
  // The old records go as a whole, with the last who reads or writes them.
  Changes dropped;
  const std::unique_lock lock(seeing_);
  records_.swap(records);
  index_.swap(index);
  epoch_.swap(epoch);
  dropped.swap(changes_);
}

template <class Apply>
std::size_t ItemStore::change(const Keys& added, std::size_t most, const Apply& apply) {
  Changes change(1);
  change.front().retired.reserve(most);
  auto epoch = std::make_shared<const Epoch>();
  std::shared_ptr<ItemIndex> index = index_;
  const bool copied = most > in_place(index_->size()) || !index_->fits(added);
  if (copied) index = index_->copy(added, {});
  index->prepare(added);
  std::vector<Row>& retired = change.front().retired;
  if (copied) apply(*index, retired);
  // Nothing below can fail.
  const std::unique_lock lock(seeing_);
  if (!copied) apply(*index, retired);
  index_.swap(index);
  epoch_.swap(epoch);
  change.front().epoch = std::move(epoch);
  const std::size_t count = retired.size();
  changes_.splice(changes_.end(), change);
  return count;
}

void ItemStore::put(const Keys& keys, Batch& batch) {
  const std::lock_guard lock(writing_);
  reclaim();
  if (batch.records_ != records_) {
    // The records have moved since.
    Batch moved(*this);
    take_locked(batch.size(), moved);
    for (std::size_t i = 0; i < batch.size(); ++i) {
      records_->copy(moved.rows_[i], *batch.records_, batch.rows_[i]);
    }
    batch.records_->free(batch.rows_);
    batch.records_ = records_;
    batch.rows_.swap(moved.rows_);
    moved.rows_.clear();
  }
  change(keys, keys.size(), [&](ItemIndex& index, std::vector<Row>& retired) {
    index.assign(keys, batch.rows_, retired);
  });
  batch.rows_.clear();
  tidy();
}

std::size_t ItemStore::erase(const Keys& keys) {
  const std::lock_guard lock(writing_);
  reclaim();
  const std::size_t count =
      change({}, keys.size(),
             [&](ItemIndex& index, std::vector<Row>& retired) { index.erase(keys, retired); });
  tidy();
  return count;
}

// Moves the records of blocks that are partly taken to others, so that those go back as a whole.
void ItemStore::empty_blocks() {
  const std::vector<bool> emptier = records_->emptier_blocks();
  std::vector<std::size_t> places;
  Changes change(1);
  std::vector<Row>& retired = change.front().retired;
  work_of_changes += index_->end();
  for (std::size_t place = 0; place < index_->end(); ++place) {
    if (!index_->is_present(place) || !emptier[records_->block_of(index_->row_at(place))]) continue;
    places.push_back(place);
    retired.push_back(index_->row_at(place));
  }
  std::vector<Row> rows(places.size());
  auto epoch = std::make_shared<const Epoch>();
  if (!records_->take(rows, emptier)) return;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    records_->copy(rows[i], *records_, retired[i]);
  }
  {
    const std::unique_lock lock(seeing_);
    index_->move(places, rows);
    epoch_.swap(epoch);
    change.front().epoch = std::move(epoch);
    changes_.splice(changes_.end(), change);
  }
  reclaim();
}

// Gives memory back that the items do not need any more.
void ItemStore::tidy() noexcept {
  reclaim();
  try {
    // What readers still see is going to be free anyway.
    if (records_->scattered() && changes_.empty()) empty_blocks();
    if (index_->has_gaps()) {
      std::shared_ptr<ItemIndex> index = index_->copy({}, {});
      const std::unique_lock lock(seeing_);
      index_.swap(index);
    }
  } catch (const std::bad_alloc&) {
    // It stays as it is until a later change.
    return;
  }
}

}  // namespace pyrec
