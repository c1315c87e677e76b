#include "strings/utf8.h"

#include <bit>

namespace pyrec {

bool is_utf8(std::string_view text) {
  constexpr std::uint64_t kHigh = 0x8080808080808080;
  std::size_t at = 0;
  while (at < text.size()) {
    if (text.size() - at >= 8) {
      const std::uint64_t beyond = read64(text.data() + at) & kHigh;
      if (beyond == 0) {
        at += 8;
        continue;
      }
      at += static_cast<std::size_t>(std::countr_zero(beyond)) / 8;
    }
    const auto lead = static_cast<unsigned char>(text[at]);
    if (lead < 0x80) {
      ++at;
      continue;
    }
    if (lead < 0xc2 || lead > 0xf4) return false;
    const std::size_t more = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    if (text.size() - at <= more) return false;
    const auto next = static_cast<unsigned char>(text[at + 1]);
    const unsigned char least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    const unsigned char most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (next < least || next > most) return false;
    for (std::size_t i = 2; i <= more; ++i) {
      if ((static_cast<unsigned char>(text[at + i]) & 0xc0) != 0x80) return false;
    }
    at += 1 + more;
  }
  return true;
}

std::optional<std::size_t> find_no_utf8(const Texts& texts) {
  if (is_ascii(texts.all())) return std::nullopt;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (!is_utf8(texts.at(i))) return i;
  }
  return std::nullopt;
}

}  // namespace pyrec
