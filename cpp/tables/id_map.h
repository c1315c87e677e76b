#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <span>
#include <vector>

namespace pyrec {

// 64-bit ids to rows. Keys in [0, direct) lie in an array, all others in a hash table with open
// addressing. Any number of threads may find while one changes it: a batch is found as it was
// before or after another batch's change, never in between.
class IdMap {
 public:
  static constexpr std::int64_t kAbsent = -1;

  explicit IdMap(std::int64_t direct = 0, std::int64_t capacity = 0);

  std::int64_t size() const;
  // Whether the keys could be assigned without growing the hash table, which takes time.
  bool fits(std::span<const std::int64_t> keys) const;

  // The rows of the keys; kAbsent for a key that has none.
  void find(std::span<const std::int64_t> keys, std::span<std::int64_t> rows) const;

  // Gives each key its row (at least 0) and tells the row that it had, or kAbsent.
  void assign(std::span<const std::int64_t> keys, std::span<const std::int64_t> rows,
              std::span<std::int64_t> previous);

  // Removes the keys and tells the rows that they had, or kAbsent.
  void erase(std::span<const std::int64_t> keys, std::span<std::int64_t> previous);

  // A map of the same keys, those in [0, direct) in an array, with room to hash `capacity`.
  std::unique_ptr<IdMap> copy(std::int64_t direct, std::int64_t capacity) const;

  // For a forked child: the lock may have been taken by a thread that the child does not have.
  void reset_lock();

 private:
  struct Slot {
    std::int64_t key;
    std::int64_t row;
  };

  bool is_direct(std::int64_t key) const {
    return static_cast<std::uint64_t>(key) < direct_.size();
  }
  std::size_t home(std::int64_t key) const;
  void reserve(std::size_t count);
  std::int64_t put(std::int64_t key, std::int64_t row);
  std::int64_t take(std::int64_t key);
  void prefetch(std::span<const std::int64_t> keys, std::size_t index) const;

  std::uint64_t seed_;
  std::vector<std::int64_t> direct_;
  std::vector<Slot> slots_;  // none, or a power of two of them
  std::size_t hashed_ = 0;
  std::size_t size_ = 0;
  std::unique_ptr<std::shared_mutex> mutex_;
};

}  // namespace pyrec
