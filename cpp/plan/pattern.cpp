#include "plan/pattern.h"

#include <algorithm>
#include <bit>

#include "core/error.h"
#include "core/watch.h"
#include "strings/utf8.h"

namespace pyrec {

namespace {

constexpr std::int64_t kLastCharacter = 0x10ffff;
constexpr std::int64_t kMostRanges = 1 << 16;

[[noreturn]] void refuse() { throw OpError(ErrorKind::kModel, "no pattern"); }

std::int64_t take(std::span<const std::int64_t>& numbers, std::int64_t least, std::int64_t most) {
  if (numbers.empty() || numbers[0] < least || numbers[0] > most) refuse();
  const std::int64_t number = numbers[0];
  numbers = numbers.subspan(1);
  return number;
}

}  // namespace

Pattern::Pattern(std::span<const std::int64_t>& numbers) {
  const auto count = static_cast<std::size_t>(take(numbers, 1, kMostPlaces));
  std::uint64_t optional = 0, loops = 0;
  for (std::size_t place = 0; place < count; ++place) {
    const std::uint64_t bit = std::uint64_t{1} << place;
    const std::int64_t flags = take(numbers, 0, 3);
    if ((flags & 1) != 0) optional |= bit;
    if ((flags & 2) != 0) loops |= bit;
    std::vector<Range>& ranges = classes_.emplace_back();
    for (std::int64_t left = take(numbers, 1, kMostRanges); left > 0; --left) {
      const std::int64_t first = take(numbers, 0, kLastCharacter);
      const std::int64_t last = take(numbers, first, kLastCharacter);
      ranges.push_back({static_cast<std::uint32_t>(first), static_cast<std::uint32_t>(last)});
      for (std::int64_t code = first; code <= std::min<std::int64_t>(last, 127); ++code) {
        ascii_[static_cast<std::size_t>(code)] |= bit;
      }
    }
  }
  // From the last place on: which may follow one that was matched.
  std::uint64_t behind = 0;
  bool ends = true;
  for (std::size_t place = count; place-- > 0;) {
    const std::uint64_t bit = std::uint64_t{1} << place;
    follow_[place] = behind | (loops & bit);
    if (ends) accepting_ |= bit;
    ends = ends && (optional & bit) != 0;
    behind = bit | ((optional & bit) != 0 ? behind : 0);
  }
  follow_[kMostPlaces] = behind;
  if (ends) accepting_ |= std::uint64_t{1} << 63;
}

std::uint64_t Pattern::places_of(std::uint32_t code) const {
  if (code < ascii_.size()) return ascii_[code];
  std::uint64_t found = 0;
  for (std::size_t place = 0; place < classes_.size(); ++place) {
    const bool has = std::ranges::any_of(classes_[place], [=](const Range& range) {
      return range.first <= code && code <= range.last;
    });
    if (has) found |= std::uint64_t{1} << place;
  }
  return found;
}

std::uint64_t Pattern::after(std::uint64_t places) const {
  std::uint64_t found = 0;
  for (; places != 0; places &= places - 1) {
    found |= follow_[static_cast<std::size_t>(std::countr_zero(places))];
  }
  return found;
}

std::size_t Pattern::longest(std::string_view text, std::size_t begin) const {
  std::size_t end = is_empty() ? begin : kNone;
  std::uint64_t open = follow_[kMostPlaces];
  for (std::size_t at = begin, steps = 0; at < text.size();) {
    const Decoded letter = decode_utf8(text.data() + at);
    const std::uint64_t taken = open & places_of(letter.code);
    if (taken == 0) break;
    at += letter.size;
    if ((taken & accepting_) != 0) end = at;
    open = after(taken);
    if (++steps % kWatchedElements == 0) Watch::check();
  }
  return end;
}

}  // namespace pyrec
