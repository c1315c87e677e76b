#include "core/arena.h"

#include <algorithm>
#include <bit>
#include <new>
#include <string>
#include <utility>

#include "core/error.h"

namespace pyrec {

namespace {
constexpr std::size_t kSmallest = 256;
constexpr std::align_val_t kAlignment{64};
constexpr std::size_t kCachedAnyway = std::size_t{1} << 20;

// A sanitizer sees an access behind a block, or to one that was given back, only if blocks are as
// long as was asked for and are never used twice.
#ifdef PYREC_EXACT_ARENA
constexpr bool kExact = true;
#else
constexpr bool kExact = false;
#endif
}  // namespace

bool Budget::take(std::size_t bytes) {
  const std::size_t before = held_.fetch_add(bytes, std::memory_order_relaxed);
  if (bytes <= limit_ && before <= limit_ - bytes) return true;
  give_back(bytes);
  return false;
}

// Four classes for each power of two, so that at most a quarter of a block is wasted.
std::uint32_t Arena::class_of(std::size_t bytes) {
  if (bytes <= kSmallest) return 0;
  const std::size_t units = (bytes - 1) / (kSmallest / 4);
  const int shift = std::bit_width(units) - 3;
  return static_cast<std::uint32_t>(shift * 4 + static_cast<int>(units >> shift) - 4 + 1);
}

std::size_t Arena::class_bytes(std::uint32_t size_class) {
  if (size_class == 0) return kSmallest;
  const std::uint32_t shift = (size_class - 1) / 4;
  const std::size_t mantissa = (size_class - 1) % 4 + 4;
  return ((mantissa + 1) << shift) * (kSmallest / 4);
}

BufferRef Arena::allocate(std::size_t bytes) {
  const std::uint32_t size_class = class_of(bytes);
  if (size_class >= kClasses) throw std::bad_alloc();
  if (Buffer* buffer = free_[size_class]; buffer != nullptr) {
    Buffer* const next = std::exchange(buffer->next_, nullptr);
    free_[size_class] = next;
    // The next step's, which a request that comes with cold caches would wait for.
    __builtin_prefetch(next, 1);
    if (next != nullptr) __builtin_prefetch(next->data(), 1);
    cached_ -= buffer->capacity_;
    count_use(buffer->capacity_);
    return BufferRef(buffer);
  }
  const std::size_t capacity = kExact ? bytes : class_bytes(size_class);
  require(capacity);
  void* memory = nullptr;
  try {
    memory = ::operator new(Buffer::kHeader + capacity, kAlignment);
  } catch (...) {
    if (budget_ != nullptr) budget_->give_back(capacity);
    throw;
  }
  Buffer* buffer = new (memory) Buffer();
  buffer->size_class_ = size_class;
  buffer->capacity_ = capacity;
  buffer->arena_ = this;
  count_use(capacity);
  return BufferRef(buffer);
}

char* Arena::keep(std::size_t bytes) {
  kept_.push_back(allocate(bytes));
  return reinterpret_cast<char*>(kept_.back().get()->data());
}

void Arena::let_go(std::size_t count) { kept_.resize(count); }

void Arena::count_use(std::size_t bytes) {
  used_ += bytes;
  peak_ = std::max(peak_, used_);
}

void Arena::require(std::size_t bytes) {
  if (budget_ == nullptr || budget_->take(bytes)) return;
  trim();
  if (budget_->take(bytes)) return;
  throw OpError(ErrorKind::kMemory, "a call may hold " + std::to_string(budget_->limit()) +
                                        " bytes (max_bytes), " + std::to_string(bytes) +
                                        " more are needed beside " +
                                        std::to_string(budget_->held()));
}

void Arena::recycle(Buffer* buffer) {
  used_ -= buffer->capacity_;
  if constexpr (kExact) return release(buffer);
  cached_ += buffer->capacity_;
  buffer->next_ = std::exchange(free_[buffer->size_class_], buffer);
}

void Arena::trim() {
  for (Buffer*& newest : free_) {
    while (newest != nullptr) {
      release(std::exchange(newest, newest->next_));
    }
  }
  cached_ = 0;
}

void Arena::release(Buffer* buffer) {
  if (budget_ != nullptr) budget_->give_back(buffer->capacity_);
  buffer->~Buffer();
  ::operator delete(buffer, kAlignment);
}

// Runs of varying size fill several classes, so a cache somewhat above the peak is normal.
void Arena::settle() {
  kept_.clear();
  recent_ = std::max(peak_, recent_ - recent_ / 16);
  peak_ = used_;
  if (cached_ > 3 * recent_ + kCachedAnyway) trim();
}

Arena::~Arena() {
  kept_.clear();
  trim();
}

void BufferRef::recycle() { buffer_->arena_->recycle(buffer_); }

}  // namespace pyrec
