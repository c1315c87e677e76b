#pragma once

// Letters in another case, as Python changes them.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pyrec {

// A change of ASCII, and of the letters beyond it that a table has.
class LetterCase {
 public:
  LetterCase() = default;

  // For each letter beyond ASCII that changes, in the order of their codes: its code, how many
  // letters it becomes, and these. Throws std::invalid_argument for other numbers.
  LetterCase(bool lower, std::span<const std::int64_t> numbers);

  // Whether a letter of the text changes by what is around it, which the table does not hold: a
  // capital sigma is another small one at the end of a word.
  bool depends(std::string_view text) const {
    return lower_ && text.find("\xce\xa3") != std::string_view::npos;
  }

  // The most bytes that a byte becomes.
  std::size_t growth() const { return growth_; }

  // Writes a text of ASCII, or any that is UTF-8; the place behind it.
  char* change_ascii(std::string_view text, char* at) const;
  char* change(std::string_view text, char* at) const;

 private:
  bool lower_ = false;
  std::vector<std::uint32_t> codes_;
  std::vector<std::size_t> begins_;  // in bytes_, and its end
  std::string bytes_;
  std::size_t growth_ = 1;
};

}  // namespace pyrec
