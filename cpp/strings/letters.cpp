#include "strings/letters.h"

#include <cstdint>

namespace pyrec {

namespace {

bool is_ascii_space(unsigned char byte) {
  return byte == ' ' || (byte >= '\t' && byte <= '\r') || (byte >= 0x1c && byte <= 0x1f);
}

// The bytes of the white space at the beginning of a text that is not empty, 0 where none is.
std::size_t space_at(std::string_view text) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return is_ascii_space(lead) ? 1 : 0;
  if (lead == 0xc2) return text.size() > 1 && (byte(1) == 0x85 || byte(1) == 0xa0) ? 2 : 0;
  if (text.size() < 3 || lead < 0xe1 || lead > 0xe3) return 0;
  const std::uint32_t code = (lead & 0x0fU) << 12 | (byte(1) & 0x3fU) << 6 | (byte(2) & 0x3fU);
  const bool space = code == 0x1680 || (code >= 0x2000 && code <= 0x200a) || code == 0x2028 ||
                     code == 0x2029 || code == 0x202f || code == 0x205f || code == 0x3000;
  return space ? 3 : 0;
}

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

}  // namespace

std::size_t leading_space(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t size = space_at(text.substr(at));
    if (size == 0) break;
    at += size;
  }
  return at;
}

std::size_t before_space(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() && space_at(text.substr(at)) == 0) ++at;
  return at;
}

std::string_view stripped(std::string_view text) {
  text.remove_prefix(leading_space(text));
  while (!text.empty()) {
    std::size_t last = text.size() - 1;
    while (last > 0 && continues(text[last])) --last;
    if (space_at(text.substr(last)) == 0) break;
    text.remove_suffix(text.size() - last);
  }
  return text;
}

}  // namespace pyrec
