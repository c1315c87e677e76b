#pragma once

// How com.microsoft.Tokenizer cuts texts into tokens.

#include <cstddef>
#include <string_view>
#include <vector>

#include "plan/op.h"
#include "plan/pattern.h"

namespace pyrec {

class Tokens {
 public:
  // Throws OpError(kModel) for attributes that do not fit, OpError(kElsewhere) for expressions that
  // only Python knows.
  explicit Tokens(const Attributes& attributes);

  // Appends the tokens of a text, which is UTF-8. `room` is for pieces on the way.
  void append(std::string_view text, std::vector<Text>& found, std::vector<Text>& room) const;

 private:
  void append_matches(std::string_view text, std::vector<Text>& found) const;
  void append_between(const Pattern& separator, std::string_view text,
                      std::vector<Text>& found) const;
  void keep(std::string_view piece, std::vector<Text>& found) const;

  std::size_t shortest_ = 1;
  bool by_letter_ = false;
  bool separated_ = false;
  std::vector<Pattern> patterns_;
};

}  // namespace pyrec
