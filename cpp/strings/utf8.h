#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "strings/bytes.h"
#include "strings/texts.h"

namespace pyrec {

// The most bytes that a character takes.
inline constexpr std::size_t kLongestUtf8 = 4;

inline bool is_surrogate(std::uint32_t code) { return (code & 0xfffff800) == 0xd800; }

// Writes a character, or half of one that UTF-16 would take two numbers for; the place behind it.
inline char* put_utf8(char* at, std::uint32_t code) {
  const auto put = [&](std::uint32_t byte) { *at++ = static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0 | code >> 6);
    put(0x80 | (code & 0x3f));
  } else {
    if (code < 0x10000) {
      put(0xe0 | code >> 12);
    } else {
      put(0xf0 | (code >> 18 & 0x07));
      put(0x80 | (code >> 12 & 0x3f));
    }
    put(0x80 | (code >> 6 & 0x3f));
    put(0x80 | (code & 0x3f));
  }
  return at;
}

// A character and its bytes.
struct Decoded {
  std::uint32_t code;
  std::uint32_t size;
};

// The first character of a text that is UTF-8 and not empty.
inline Decoded decode_utf8(const char* text) {
  const auto byte = [=](std::size_t at) -> std::uint32_t {
    return static_cast<unsigned char>(text[at]);
  };
  const std::uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xe0) return {(lead & 0x1f) << 6 | (byte(1) & 0x3f), 2};
  if (lead < 0xf0) return {(lead & 0x0f) << 12 | (byte(1) & 0x3f) << 6 | (byte(2) & 0x3f), 3};
  return {(lead & 0x07) << 18 | (byte(1) & 0x3f) << 12 | (byte(2) & 0x3f) << 6 | (byte(3) & 0x3f),
          4};
}

inline bool is_ascii(std::string_view text) {
  constexpr std::uint64_t kHigh = 0x8080808080808080;
  const char* const from = text.data();
  const std::size_t size = text.size();
  // The ends of most strings are all of them; the words may overlap.
  if (size >= 8) {
    std::uint64_t any = read64(from + size - 8);
    for (std::size_t at = 0; at + 8 < size; at += 8) any |= read64(from + at);
    return (any & kHigh) == 0;
  }
  if (size >= 4) {
    return ((read32(from) | read32(from + size - 4)) & static_cast<std::uint32_t>(kHigh)) == 0;
  }
  if (size == 0) return true;
  const char any = static_cast<char>(from[0] | from[size / 2] | from[size - 1]);
  return static_cast<unsigned char>(any) < 0x80;
}

// As the Unicode standard defines it (table 3-7): no longer form than needed, no surrogates.
bool is_utf8(std::string_view text);

// The first text that is not.
std::optional<std::size_t> find_no_utf8(const Texts& texts);

}  // namespace pyrec
