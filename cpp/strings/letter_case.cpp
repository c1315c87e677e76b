#include "strings/letter_case.h"

#include <algorithm>
#include <stdexcept>

#include "strings/letters.h"
#include "strings/utf8.h"

namespace pyrec {

namespace {

constexpr std::int64_t kFirst = 0x80;
constexpr std::int64_t kLast = 0x10ffff;
// The most letters that one becomes.
constexpr std::int64_t kMost = 8;

void require(bool holds) {
  if (!holds) throw std::invalid_argument("letters and what they become do not fit");
}

std::size_t put_letter(std::string& bytes, std::int64_t code) {
  require(code >= 0 && code <= kLast && !is_surrogate(static_cast<std::uint32_t>(code)));
  char letter[kLongestUtf8];
  const auto size =
      static_cast<std::size_t>(put_utf8(letter, static_cast<std::uint32_t>(code)) - letter);
  bytes.append(letter, size);
  return size;
}

}  // namespace

LetterCase::LetterCase(bool lower, std::span<const std::int64_t> numbers) : lower_(lower) {
  while (!numbers.empty()) {
    require(numbers.size() > 1 && numbers[0] >= kFirst && numbers[0] <= kLast);
    const std::int64_t code = numbers[0], count = numbers[1];
    require(codes_.empty() || code > codes_.back());
    require(count > 0 && count <= kMost && count <= std::ssize(numbers) - 2);
    std::string own;
    const std::size_t before = put_letter(own, code);
    begins_.push_back(bytes_.size());
    std::size_t after = 0;
    for (const std::int64_t made : numbers.subspan(2, static_cast<std::size_t>(count))) {
      after += put_letter(bytes_, made);
    }
    codes_.push_back(static_cast<std::uint32_t>(code));
    growth_ = std::max(growth_, (after + before - 1) / before);
    numbers = numbers.subspan(2 + static_cast<std::size_t>(count));
  }
  begins_.push_back(bytes_.size());
}

char* LetterCase::change_ascii(std::string_view text, char* at) const {
  return std::ranges::transform(text, at, lower_ ? lower_ascii : upper_ascii).out;
}

char* LetterCase::change(std::string_view text, char* at) const {
  while (!text.empty()) {
    const Decoded letter = decode_utf8(text.data());
    const std::string_view own = text.substr(0, letter.size);
    text.remove_prefix(own.size());
    if (letter.size == 1) {
      at = change_ascii(own, at);
      continue;
    }
    const auto found = std::ranges::lower_bound(codes_, letter.code);
    if (found == codes_.end() || *found != letter.code) {
      at = std::ranges::copy(own, at).out;
      continue;
    }
    const auto place = static_cast<std::size_t>(found - codes_.begin());
    const std::size_t size = begins_[place + 1] - begins_[place];
    at = std::ranges::copy(std::string_view(bytes_).substr(begins_[place], size), at).out;
  }
  return at;
}

}  // namespace pyrec
