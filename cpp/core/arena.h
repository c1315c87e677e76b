#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace pyrec {

class Arena;

// The bytes that the arenas of one call hold, and how many they may.
class Budget {
 public:
  void set_limit(std::size_t limit) { limit_ = limit; }
  std::size_t limit() const { return limit_; }
  std::size_t held() const { return held_.load(std::memory_order_relaxed); }
  // False, and nothing is taken, where that would be too many.
  bool take(std::size_t bytes);
  void give_back(std::size_t bytes) { held_.fetch_sub(bytes, std::memory_order_relaxed); }

 private:
  std::size_t limit_ = SIZE_MAX;
  std::atomic<std::size_t> held_{0};
};

// A reference-counted, 64-byte-aligned block. Blocks go back to the arena that made them, newest
// first, so that the next step of a tile finds its memory still in cache.
class Buffer {
 public:
  std::byte* data() { return reinterpret_cast<std::byte*>(this) + kHeader; }
  std::size_t capacity() const { return capacity_; }
  bool unique() const { return count_ == 1; }

 private:
  friend class Arena;
  friend class BufferRef;
  static constexpr std::size_t kHeader = 64;

  std::int32_t count_ = 0;
  std::uint32_t size_class_ = 0;
  std::size_t capacity_ = 0;
  Arena* arena_ = nullptr;
  Buffer* next_ = nullptr;  // of the free blocks of its class
};

// The count is not atomic: references to a block are made and dropped only on the thread that is
// using its arena. Another worker of the call reads the block through tensors without an owner.
class BufferRef {
 public:
  BufferRef() = default;
  explicit BufferRef(Buffer* buffer) : buffer_(buffer) { retain(); }
  BufferRef(const BufferRef& other) : buffer_(other.buffer_) { retain(); }
  BufferRef(BufferRef&& other) noexcept : buffer_(std::exchange(other.buffer_, nullptr)) {}
  BufferRef& operator=(BufferRef other) noexcept {
    std::swap(buffer_, other.buffer_);
    return *this;
  }
  ~BufferRef() { reset(); }

  void reset() {
    if (buffer_ != nullptr && --buffer_->count_ == 0) recycle();
    buffer_ = nullptr;
  }
  Buffer* get() const { return buffer_; }
  explicit operator bool() const { return buffer_ != nullptr; }

 private:
  void retain() {
    if (buffer_ != nullptr) ++buffer_->count_;
  }
  void recycle();

  Buffer* buffer_ = nullptr;
};

// Recycles blocks by size class. One thread uses an arena at a time; a buffer must be released
// before its arena is destroyed, and on the thread that is using the arena.
class Arena {
 public:
  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  // Lets blocks that are made from now on count; the budget must outlive the arena.
  void set_budget(Budget& budget) { budget_ = &budget; }

  // Throws OpError(kMemory) beyond the budget, std::bad_alloc where the system has no more.
  BufferRef allocate(std::size_t bytes);
  // Memory for the bytes of strings, which tensors do not own: it stays until it is let go.
  char* keep(std::size_t bytes);
  std::size_t kept() const { return kept_.size(); }
  // Lets go of what was kept after the first `count` blocks.
  void let_go(std::size_t count);
  // Gives cached blocks back to the system.
  void trim();
  // To be called between runs: lets go of all that was kept, and trims if the cache holds much more
  // than recent runs have used.
  void settle();

 private:
  friend class BufferRef;
  static constexpr std::size_t kClasses = 128;
  static std::uint32_t class_of(std::size_t bytes);
  static std::size_t class_bytes(std::uint32_t size_class);
  void release(Buffer* buffer);
  void recycle(Buffer* buffer);
  void count_use(std::size_t bytes);
  void require(std::size_t bytes);

  std::vector<BufferRef> kept_;
  std::array<Buffer*, kClasses> free_{};  // the newest free block of each class
  Budget* budget_ = nullptr;              // null: none
  std::size_t cached_ = 0;                // bytes of the blocks in free_
  std::size_t used_ = 0;                  // bytes of the blocks given out
  std::size_t peak_ = 0;                  // the most that was given out since the last settle()
  std::size_t recent_ = 0;                // the peak of recent runs; decays
};

}  // namespace pyrec
