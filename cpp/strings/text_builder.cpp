#include "strings/text_builder.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <new>
#include <type_traits>

#include "strings/utf8.h"

namespace pyrec {

namespace {

constexpr std::size_t kLeastRoom = 256;
constexpr std::size_t kLongestNumber = 20;  // -2^63

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
  if (!text.empty()) std::memcpy(at, text.data(), text.size());
  end(at + text.size());
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
