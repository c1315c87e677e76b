#pragma once

#include <cstdint>
#include <vector>

#include "strings/texts.h"

namespace pyrec {

// Strings that occur often, each once.
struct GroupedTexts {
  std::vector<std::int64_t> firsts;  // where each is first, rising
  std::vector<std::int64_t> places;  // of each string among these
};

GroupedTexts group_texts(const Texts& texts);

}  // namespace pyrec
