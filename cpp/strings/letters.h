#pragma once

// What characters are to Python's methods of strings.

#include <cstddef>
#include <string_view>

namespace pyrec {

// Of ASCII.
inline char lower_ascii(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 32) : letter;
}

inline char upper_ascii(char letter) {
  return letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 32) : letter;
}

// The bytes of white space, by Unicode, that a text begins with.
std::size_t leading_space(std::string_view text);

// The bytes before the first white space.
std::size_t before_space(std::string_view text);

// Without white space at both ends.
std::string_view stripped(std::string_view text);

}  // namespace pyrec
