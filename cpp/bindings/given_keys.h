#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "strings/text_builder.h"
#include "tables/keys.h"

namespace pyrec {

// Keys, and the memory that they lie in.
struct GivenKeys {
  Keys keys;
  pybind11::object kept;
  std::vector<std::int64_t> numbers;
  std::unique_ptr<char, TextBuilder::Free> bytes;
};

// Whole numbers as an array of int64; strings as an object that holds offsets and bytes.
void read_keys(const pybind11::handle& item, bool text, GivenKeys& given);

// The same keys in memory that nobody else knows.
void own(GivenKeys& given);

// Own keys of an array or a list of nothing but int, or for text a list of nothing but str; false
// for what needs a closer look.
bool read_plain_keys(const pybind11::handle& item, bool text, GivenKeys& given);

}  // namespace pyrec
