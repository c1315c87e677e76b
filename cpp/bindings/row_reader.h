#pragma once

// One raw row, a dictionary of values and lists, as the inputs that a schema makes of it.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace pyrec {

// What a field's raw values are, and which inputs stand for it.
struct RawField {
  enum class Kind { kText, kInteger, kNumber };

  pybind11::str name;
  Kind kind = Kind::kText;
  std::int64_t length = 0;  // places of a list; 0: one value
  std::int64_t most = 0;    // a longer list is an error; 0: none is
  bool keep_last = false;
  bool pad_left = false;
  bool any_nan = false;       // whether NaN is a number like others
  bool any_infinity = false;  // the same
  std::int64_t limit = 0;     // the largest whole number
  int value = -1;             // the input that takes the values; -1: none
  int count = -1;             // that takes how many of a list's places are taken
  int missing = -1;           // that takes whether the value is missing
};

// Reads rows that hold all fields and nothing else, each value of the very type that it should be.
// The others it leaves to whoever looks closer and words errors.
class RowReader {
 public:
  RowReader(std::vector<RawField> fields, std::size_t inputs);

  // A tuple of the inputs, or None.
  pybind11::object read(const pybind11::handle& row) const;

 private:
  pybind11::object read_list(const RawField& field, const pybind11::handle& value,
                             std::int64_t& kept) const;

  std::vector<RawField> fields_;
  std::size_t inputs_;
  pybind11::array present_;  // what says that a value is not missing
};

void bind_row_reader(pybind11::module_& module);

}  // namespace pyrec
