#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace pyrec {

// Strings in Arrow's layout: bytes one after another, and offsets of 32 or 64 bits of where each
// begins, and the last one ends. Borrowed.
class Texts {
 public:
  Texts() = default;
  Texts(std::span<const std::int32_t> offsets, const char* bytes)
      : narrow_(offsets.data()), size_(offsets.size() - 1), bytes_(bytes) {}
  Texts(std::span<const std::int64_t> offsets, const char* bytes)
      : wide_(offsets.data()), size_(offsets.size() - 1), bytes_(bytes) {}

  std::size_t size() const { return size_; }

  // f(offsets, bytes) with the offsets in their own type, for loops over all of them.
  template <class F>
  auto visit(const F& f) const {
    return wide_ != nullptr ? f(wide_, bytes_) : f(narrow_, bytes_);
  }

  std::string_view at(std::size_t index) const {
    return visit([=](const auto* offsets, const char* bytes) {
      return std::string_view(bytes + offsets[index],
                              static_cast<std::size_t>(offsets[index + 1] - offsets[index]));
    });
  }

  std::size_t bytes() const { return all().size(); }

  // All of them, one after another.
  std::string_view all() const {
    return visit([this](const auto* offsets, const char* bytes) {
      return size_ == 0 ? std::string_view()
                        : std::string_view(bytes + offsets[0],
                                           static_cast<std::size_t>(offsets[size_] - offsets[0]));
    });
  }

 private:
  const std::int32_t* narrow_ = nullptr;
  const std::int64_t* wide_ = nullptr;
  std::size_t size_ = 0;
  const char* bytes_ = nullptr;
};

}  // namespace pyrec
