#pragma once

// Strings of Python and NumPy in Arrow's layout. All of it needs the interpreter lock.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "strings/text_builder.h"

namespace pyrec {

// Strings that were read, and which of them are missing.
struct ReadTexts {
  TextBuilder builder;
  std::vector<bool> missing;        // empty if none is
  std::vector<std::size_t> places;  // which string each element is; empty if each is its own
};

// How strings are read: how many make a row, for errors; and whether they are names, whose bytes
// have to be UTF-8 and may hold halves of characters of UTF-16; and whether a long object that is
// there many times becomes one string.
struct Reading {
  std::int64_t per_row = 0;
  bool names = false;
  bool once = false;
};

// Objects between a prefetch and its use.
inline constexpr pybind11::ssize_t kObjectsAhead = 32;

// An object's head, and what follows it.
inline void prefetch_object(const PyObject* item) {
  __builtin_prefetch(item);
  __builtin_prefetch(reinterpret_cast<const char*>(item) + 64);
}

// A list, a tuple, or an array of objects of one axis. Throws OpError(kDType) for another type.
ReadTexts read_objects(const pybind11::object& items, Reading reading);

// The same of a dense array, a list or a tuple, where each object is a string itself; nothing where
// one is not, or ends in a zero.
std::optional<ReadTexts> read_plain_texts(const pybind11::object& items, bool once = false);

// Arrays of one axis of the kinds U, S and T.
ReadTexts read_codes(const pybind11::array& array, Reading reading);
ReadTexts read_bytes(const pybind11::array& array, Reading reading);
ReadTexts read_variable(const pybind11::array& array);

// A str of any kind; halves of characters are taken.
std::string read_text(const pybind11::handle& text);

// Whether an object is a str without halves of characters; false, and nothing is appended, if not.
bool append_text(TextBuilder& builder, PyObject* item);

// Whether NumPy's kind of an array is one of strings.
bool holds_texts(const pybind11::array& array);

// An array of one axis of any kind of strings, none of which may be missing.
ReadTexts read_array(const pybind11::array& array, Reading reading);

}  // namespace pyrec
