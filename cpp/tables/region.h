#pragma once

#include <cstddef>

namespace pyrec {

// A range of addresses that never moves. Memory is behind the part that has been committed, from
// the first touch of a page on; an untouched page reads as zeros.
class Region {
 public:
  // What the system maps at once where it can; regions begin at a multiple.
  static constexpr std::size_t kHugePage = std::size_t{1} << 21;

  // Room for `most` bytes where the system has so many addresses to give, for `least` otherwise.
  Region(std::size_t least, std::size_t most);
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  std::byte* data() const { return data_; }
  std::size_t room() const { return room_; }
  // Lets the first `bytes` be used; throws std::bad_alloc.
  void commit(std::size_t bytes);
  // Gives the whole pages among these bytes back; what they held is lost.
  void give_back(std::size_t begin, std::size_t end) noexcept;

 private:
  void* start_ = nullptr;
  std::size_t length_ = 0;
  std::byte* data_ = nullptr;  // at a huge page's boundary
  std::size_t room_ = 0;
  std::size_t committed_ = 0;
};

// Elements at the front of a region.
template <class T>
class Column {
 public:
  Column(std::size_t least, std::size_t most) : region_(least * sizeof(T), most * sizeof(T)) {}
  std::size_t room() const { return region_.room() / sizeof(T); }
  void commit(std::size_t count) { region_.commit(count * sizeof(T)); }
  T* data() { return reinterpret_cast<T*>(region_.data()); }
  const T* data() const { return reinterpret_cast<const T*>(region_.data()); }
  T& operator[](std::size_t index) { return data()[index]; }
  const T& operator[](std::size_t index) const { return data()[index]; }

 private:
  Region region_;
};

}  // namespace pyrec
