#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace pyrec {

// Memory of arrays that each call makes anew. Some large blocks are kept for the next call: pages
// that the system has to hand out take longer than what is written to them. Throws std::bad_alloc.
void* take_scratch(std::size_t bytes);
// `bytes` as they were asked for.
void give_back_scratch(void* block, std::size_t bytes) noexcept;

template <class T>
struct ScratchAllocator {
  using value_type = T;

  ScratchAllocator() = default;
  template <class Other>
  explicit ScratchAllocator(const ScratchAllocator<Other>&) {}

  T* allocate(std::size_t count) { return static_cast<T*>(take_scratch(count * sizeof(T))); }
  void deallocate(T* block, std::size_t count) noexcept {
    give_back_scratch(block, count * sizeof(T));
  }

  // Elements without a value are written later.
  template <class Other>
  void construct(Other*) {}
  template <class Other, class... Values>
  void construct(Other* at, Values&&... values) {
    ::new (static_cast<void*>(at)) Other(std::forward<Values>(values)...);
  }

  friend bool operator==(const ScratchAllocator&, const ScratchAllocator&) { return true; }
};

// `resize` leaves new elements unset.
template <class T>
using ScratchVector = std::vector<T, ScratchAllocator<T>>;

}  // namespace pyrec
