#include "plan/ops/tokens.h"

#include <span>
#include <string>
#include <utility>

#include "plan/texts.h"
#include "strings/utf8.h"

namespace pyrec {

namespace {

std::size_t letters_of(std::string_view text) {
  std::size_t count = 0;
  for (const char byte : text) count += (static_cast<unsigned char>(byte) & 0xc0) != 0x80;
  return count;
}

}  // namespace

Tokens::Tokens(const Attributes& attributes) {
  const std::string expression = attributes.text("tokenexp", "");
  const std::vector<std::string> separators = attributes.texts("separators");
  const std::int64_t shortest = attributes.integer("mincharnum", 1);
  separated_ = !separators.empty();
  by_letter_ = expression == "." || (separators.size() == 1 && separators[0].empty());
  if (separated_ == !expression.empty()) {
    throw OpError(ErrorKind::kModel, "expected either tokenexp or separators");
  }
  if (shortest < 1 || (by_letter_ && shortest > 1)) {
    throw OpError(ErrorKind::kModel,
                  "mincharnum " + std::to_string(shortest) + " is no length of its tokens");
  }
  shortest_ = static_cast<std::size_t>(shortest);
  if (by_letter_) return;
  if (attributes.integer("in_python", 0) != 0) throw OpError(ErrorKind::kElsewhere, "groups");
  const std::vector<std::int64_t> numbers = attributes.integers("patterns");
  std::span<const std::int64_t> rest(numbers);
  while (!rest.empty()) patterns_.emplace_back(rest);
  if (patterns_.size() != (separated_ ? separators.size() : 1)) {
    throw OpError(ErrorKind::kModel, "expected a pattern for each expression");
  }
  for (const Pattern& pattern : patterns_) {
    if (separated_ && pattern.is_empty()) {
      throw OpError(ErrorKind::kModel, "a separator that is nothing");
    }
  }
}

void Tokens::append(std::string_view text, std::vector<Text>& found,
                    std::vector<Text>& room) const {
  if (by_letter_) {
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t size = decode_utf8(text.data() + at).size;
      found.push_back(text.substr(at, size));
      at += size;
    }
    return;
  }
  if (!separated_) {
    append_matches(text, found);
    return;
  }
  // One separator after another cuts what those before have left.
  const std::size_t first = found.size();
  append_between(patterns_[0], text, found);
  for (const Pattern& separator : std::span(patterns_).subspan(1)) {
    room.assign(found.begin() + static_cast<std::ptrdiff_t>(first), found.end());
    found.resize(first);
    for (const Text& piece : room) append_between(separator, piece, found);
  }
}

void Tokens::keep(std::string_view piece, std::vector<Text>& found) const {
  if (piece.size() >= shortest_ && (shortest_ == 1 || letters_of(piece) >= shortest_)) {
    found.push_back(piece);
  }
}

void Tokens::append_matches(std::string_view text, std::vector<Text>& found) const {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = patterns_[0].longest(text, at);
    const std::size_t before = found.size();
    if (end != Pattern::kNone) keep(text.substr(at, end - at), found);
    // Where a match is too short, the next may begin inside of it.
    at = found.size() > before ? end : at + decode_utf8(text.data() + at).size;
  }
}

void Tokens::append_between(const Pattern& separator, std::string_view text,
                            std::vector<Text>& found) const {
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = separator.longest(text, at);
    if (end == Pattern::kNone) {
      at += decode_utf8(text.data() + at).size;
      continue;
    }
    keep(text.substr(begin, at - begin), found);
    begin = at = end;
  }
  keep(text.substr(begin), found);
}

}  // namespace pyrec
