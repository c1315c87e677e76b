#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

namespace pyrec {

// Strings in Arrow's layout that are put together one after another.
class TextBuilder {
 public:
  struct Free {
    void operator()(char* bytes) const { std::free(bytes); }
  };

  explicit TextBuilder(std::size_t count) {
    offsets_.reserve(count + 1);
    offsets_.push_back(0);
  }

  // Room for the next string, which is as long as `end` says. Throws std::bad_alloc.
  char* begin(std::size_t most) {
    if (room_ - size_ < most) grow(most);
    return bytes_.get() + size_;
  }
  void end(const char* behind) {
    size_ = static_cast<std::size_t>(behind - bytes_.get());
    offsets_.push_back(static_cast<std::int64_t>(size_));
  }

  void append(std::string_view text);
  // A string that zeros fill up to a width.
  void append_padded(const char* from, std::size_t width);
  bool append_padded(const std::uint32_t* from, std::size_t width, bool halves);
  // A character is a number; false if there is one that is none, and nothing was appended. Halves
  // of characters of UTF-16 are taken or refused.
  template <class Code>
  bool append_codes(const Code* codes, std::size_t count, bool halves);
  void append_decimal(std::int64_t number);
  void append_decimal(std::uint64_t number);

  std::vector<std::int64_t>& offsets() { return offsets_; }
  std::size_t size() const { return size_; }
  std::unique_ptr<char, Free> release() { return std::move(bytes_); }

 private:
  void grow(std::size_t more);

  std::vector<std::int64_t> offsets_;
  std::unique_ptr<char, Free> bytes_;
  std::size_t size_ = 0;
  std::size_t room_ = 0;
};

}  // namespace pyrec
