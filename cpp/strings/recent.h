#pragma once

// What was found for the strings that were looked at last, by where they lie: of columns whose
// strings repeat, as words of a dictionary do, most elements are the same few views.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "strings/bytes.h"

namespace pyrec {

// The 16 bytes that say where a string is, or what it is: an address and a size, or one of Arrow's
// views. Only of strings whose bytes stay as they are.
struct ViewKey {
  std::uint64_t first;
  std::uint64_t second;

  static ViewKey of(std::string_view text) {
    return {reinterpret_cast<std::uintptr_t>(text.data()), text.size()};
  }
  static ViewKey of_bytes(const char* view) { return {read64(view), read64(view + 8)}; }

  friend bool operator==(const ViewKey& a, const ViewKey& b) {
    return a.first == b.first && a.second == b.second;
  }
};

template <class Found, int kBits>
class Recent {
 public:
  // Null for what is not known, or no longer.
  const Found* find(const ViewKey& key) const {
    const Entry& entry = entries_[place(key)];
    return entry.known && entry.key == key ? &entry.found : nullptr;
  }

  void add(const ViewKey& key, const Found& found) { entries_[place(key)] = {key, found, true}; }

 private:
  struct Entry {
    ViewKey key{};
    Found found{};
    bool known = false;
  };

  static std::size_t place(const ViewKey& key) {
    constexpr std::uint64_t kFactor = 0x9e3779b97f4a7c15;
    return static_cast<std::size_t>((key.first ^ key.second * kFactor) * kFactor >> (64 - kBits));
  }

  std::array<Entry, std::size_t{1} << kBits> entries_{};
};

}  // namespace pyrec
