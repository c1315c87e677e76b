#include "strings/text_builder.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <new>
#include <type_traits>

#include "strings/utf8.h"

namespace pyrec {

namespace {

constexpr std::size_t kLeastRoom = 256;
constexpr std::size_t kLongestNumber = 20;  // -2^63

// Most strings are short, and a call takes longer than copying them.
void copy(char* to, const char* from, std::size_t size) {
  const auto ends = [&]<std::size_t kSize>(std::integral_constant<std::size_t, kSize>) {
    std::array<char, kSize> first, last;
    std::memcpy(first.data(), from, kSize);
    std::memcpy(last.data(), from + size - kSize, kSize);
    std::memcpy(to, first.data(), kSize);
    std::memcpy(to + size - kSize, last.data(), kSize);
  };
  if (size > 32) {
    std::memcpy(to, from, size);
  } else if (size >= 16) {
    ends(std::integral_constant<std::size_t, 16>());
  } else if (size >= 8) {
    ends(std::integral_constant<std::size_t, 8>());
  } else if (size >= 4) {
    ends(std::integral_constant<std::size_t, 4>());
  } else if (size > 0) {
    to[0] = from[0];
    to[size / 2] = from[size / 2];
    to[size - 1] = from[size - 1];
  }
}

std::uint64_t word_at(const std::uint32_t* from) {
  std::uint64_t word = 0;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// The length without zeros at the end.
template <class Code>
std::size_t trimmed(const Code* from, std::size_t width) {
  constexpr std::size_t kCodes = 8 / sizeof(Code);
  std::uint64_t word = 0;
  for (; width >= kCodes; width -= kCodes) {
    std::memcpy(&word, from + width - kCodes, 8);
    if (word != 0)
      return width - static_cast<std::size_t>(std::countl_zero(word)) / (8 * sizeof(Code));
  }
  while (width > 0 && from[width - 1] == 0) --width;
  return width;
}

// Whether all are ASCII, and then the bytes of them.
bool narrow(char* __restrict to, const std::uint32_t* __restrict from, std::size_t count) {
  // Two codes of a word move together; most widths are too small for vectors.
  const auto pair = [](std::uint64_t word) { return (word | word >> 24) & 0xffff; };
  std::uint64_t any = 0;
  std::size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    const std::uint64_t first = word_at(from + i), second = word_at(from + i + 2);
    any |= first | second;
    const auto bytes = static_cast<std::uint32_t>(pair(first) | pair(second) << 16);
    std::memcpy(to + i, &bytes, sizeof bytes);
  }
  for (; i < count; ++i) {
    any |= from[i];
    to[i] = static_cast<char>(from[i]);
  }
  return (any & 0xffffff80ffffff80) == 0;
}

}  // namespace

void TextBuilder::grow(std::size_t more) {
  const std::size_t room = std::max({size_ + more, room_ + room_ / 2, kLeastRoom});
  auto* moved = static_cast<char*>(std::realloc(bytes_.get(), room));
  if (moved == nullptr) throw std::bad_alloc();
  static_cast<void>(bytes_.release());
  bytes_.reset(moved);
  room_ = room;
}

void TextBuilder::append(std::string_view text) {
  char* at = begin(text.size());
  copy(at, text.data(), text.size());
  end(at + text.size());
}

void TextBuilder::append_padded(const char* from, std::size_t width) {
  // All of it, as that length is the same each time.
  char* at = begin(width);
  copy(at, from, width);
  end(at + trimmed(from, width));
}

bool TextBuilder::append_padded(const std::uint32_t* from, std::size_t width, bool halves) {
  // Of a wide array most is padding.
  constexpr std::size_t kWide = 64;
  const std::size_t count = width > kWide ? trimmed(from, width) : width;
  char* at = begin(count);
  if (!narrow(at, from, count)) return append_codes(from, trimmed(from, count), halves);
  end(at + trimmed(at, count));
  return true;
}

template <class Code>
bool TextBuilder::append_codes(const Code* codes, std::size_t count, bool halves) {
  constexpr std::size_t kMost = std::min(sizeof(Code) + 1, kLongestUtf8);
  char* at = begin(kMost * count);
  std::size_t i = 0;
  for (; i < count && codes[i] < 0x80; ++i) *at++ = static_cast<char>(codes[i]);
  for (; i < count; ++i) {
    const std::uint32_t code = codes[i];
    if (sizeof(Code) > 1 && (code > 0x10ffff || (!halves && is_surrogate(code)))) return false;
    at = put_utf8(at, code);
  }
  end(at);
  return true;
}

template bool TextBuilder::append_codes(const std::uint8_t*, std::size_t, bool);
template bool TextBuilder::append_codes(const std::uint16_t*, std::size_t, bool);
template bool TextBuilder::append_codes(const std::uint32_t*, std::size_t, bool);

void TextBuilder::append_decimal(std::int64_t number) {
  char* at = begin(kLongestNumber);
  end(std::to_chars(at, at + kLongestNumber, number).ptr);
}

void TextBuilder::append_decimal(std::uint64_t number) {
  char* at = begin(kLongestNumber);
  end(std::to_chars(at, at + kLongestNumber, number).ptr);
}

}  // namespace pyrec
