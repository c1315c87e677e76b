#include "core/scratch.h"

#include <array>
#include <atomic>
#include <bit>
#include <new>

namespace pyrec {

namespace {

// Smaller ones are the allocator's, which keeps them; larger ones are rare.
constexpr std::size_t kLeast = std::size_t{1} << 17, kMost = std::size_t{1} << 22;
constexpr std::size_t kMostHeld = std::size_t{1} << 24;
constexpr std::size_t kClasses = std::countr_zero(kMost) - std::countr_zero(kLeast) + 1;

// No lock, which a fork could leave taken for ever in the child.
using Slots = std::array<std::atomic<void*>, 16>;
constinit std::array<Slots, kClasses> kept{};
constinit std::atomic<std::size_t> held{0};

bool is_kept(std::size_t bytes) { return bytes >= kLeast && bytes <= kMost; }

}  // namespace

void* take_scratch(std::size_t bytes) {
  if (!is_kept(bytes)) return ::operator new(bytes);
  const std::size_t room = std::bit_ceil(bytes);
  Slots& slots = kept[static_cast<std::size_t>(std::countr_zero(room) - std::countr_zero(kLeast))];
  for (auto& slot : slots) {
    if (slot.load(std::memory_order_relaxed) == nullptr) continue;
    if (void* block = slot.exchange(nullptr, std::memory_order_acquire)) {
      held.fetch_sub(room, std::memory_order_relaxed);
      return block;
    }
  }
  return ::operator new(room);
}

void give_back_scratch(void* block, std::size_t bytes) noexcept {
  if (!is_kept(bytes)) return ::operator delete(block);
  const std::size_t room = std::bit_ceil(bytes);
  Slots& slots = kept[static_cast<std::size_t>(std::countr_zero(room) - std::countr_zero(kLeast))];
  if (held.fetch_add(room, std::memory_order_relaxed) + room <= kMostHeld) {
    for (auto& slot : slots) {
      void* empty = nullptr;
      if (slot.load(std::memory_order_relaxed) == nullptr &&
          slot.compare_exchange_strong(empty, block, std::memory_order_release)) {
        return;
      }
    }
  }
  held.fetch_sub(room, std::memory_order_relaxed);
  ::operator delete(block);
}

}  // namespace pyrec
