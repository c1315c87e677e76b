#pragma once

// Arrow's views of strings, 16 bytes each: a length, then up to 12 bytes of its own, or 4 of them,
// a buffer and a place in it.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "strings/recent.h"

namespace pyrec {

// Where views that were looked at are not sound.
struct ViewFaults {
  bool outside = false;                // one leaves its buffers
  std::optional<std::size_t> no_utf8;  // the first of those that stay inside
};

class TextViews {
 public:
  static constexpr std::size_t kBytes = 16, kOwn = 12;

  TextViews(std::string_view views, std::span<const std::string_view> buffers)
      : views_(views), buffers_(buffers) {}

  std::size_t size() const { return views_.size() / kBytes; }

  // Equal ones are of equal strings at one place.
  ViewKey key(std::size_t index) const { return ViewKey::of_bytes(views_.data() + index * kBytes); }

  // Nothing for a view that leaves its buffer.
  std::optional<std::string_view> at(std::size_t index) const {
    const char* view = views_.data() + index * kBytes;
    std::int32_t length = 0, place = 0, offset = 0;
    std::memcpy(&length, view, 4);
    const auto size = static_cast<std::size_t>(length);
    if (length >= 0 && size <= kOwn) return std::string_view(view + 4, size);
    std::memcpy(&place, view + 8, 4);
    std::memcpy(&offset, view + 12, 4);
    if (length < 0 || place < 0 || offset < 0) return std::nullopt;
    if (static_cast<std::size_t>(place) >= buffers_.size()) return std::nullopt;
    const std::string_view buffer = buffers_[static_cast<std::size_t>(place)];
    const auto begin = static_cast<std::size_t>(offset);
    if (begin > buffer.size() || size > buffer.size() - begin) return std::nullopt;
    return buffer.substr(begin, size);
  }

  // Of those that are not `missing`, which has a mark for each, or is null.
  ViewFaults faults(const bool* missing, bool utf8) const;

 private:
  bool all_ascii(std::size_t begin, std::size_t end, const bool* missing) const;

  std::string_view views_;
  std::span<const std::string_view> buffers_;
};

}  // namespace pyrec
