#include "strings/views.h"

#include <algorithm>

#include "strings/utf8.h"

namespace pyrec {

// Whether views stay inside their buffers and are ASCII; false also for some that are: what follows
// a view's own bytes counts.
bool TextViews::all_ascii(std::size_t begin, std::size_t end, const bool* missing) const {
  constexpr std::uint64_t kHigh = 0x8080808080808080;
  std::uint64_t any = 0;
  bool sound = true;
  for (std::size_t i = begin; i < end; ++i) {
    if (missing != nullptr && missing[i]) continue;
    const char* const view = views_.data() + i * kBytes;
    if (read32(view) <= kOwn) {
      any |= read32(view + 4) | read64(view + 8);
      continue;
    }
    const auto text = at(i);
    sound &= text && is_ascii(*text);
  }
  return sound && (any & kHigh) == 0;
}

ViewFaults TextViews::faults(const bool* missing, bool utf8) const {
  constexpr std::size_t kBlock = 256;
  ViewFaults found;
  for (std::size_t begin = 0; begin < size() && !found.outside; begin += kBlock) {
    const std::size_t end = std::min(begin + kBlock, size());
    if (all_ascii(begin, end, missing)) continue;
    for (std::size_t i = begin; i < end && !found.outside; ++i) {
      if (missing != nullptr && missing[i]) continue;
      const auto text = at(i);
      found.outside = !text;
      if (utf8 && text && !found.no_utf8 && !is_utf8(*text)) found.no_utf8 = i;
    }
  }
  return found;
}

}  // namespace pyrec
