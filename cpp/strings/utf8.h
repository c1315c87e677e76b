#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

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

bool is_ascii(std::string_view text);

// As the Unicode standard defines it (table 3-7): no longer form than needed, no surrogates.
bool is_utf8(std::string_view text);

// The first text that is not.
std::optional<std::size_t> find_no_utf8(const Texts& texts);

}  // namespace pyrec
