#pragma once

// Raw values of Python, alone, in lists and in dictionaries, as the inputs that a schema makes of
// them. All of it needs the interpreter lock.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <vector>

namespace pyrec {

// What a field's raw values are.
struct RawField {
  enum class Kind { kText, kInteger, kNumber };
  // What becomes of None: nothing that is read here, the default, or that and a mark.
  enum class Missing { kRefused, kDefault, kMarked };

  Kind kind = Kind::kText;
  Missing missing = Missing::kRefused;
  std::int64_t length = 0;  // places of a list; 0: one value
  std::int64_t most = 0;    // a longer list is an error; 0: none is
  bool keep_last = false;
  bool pad_left = false;
  bool any_nan = false;       // whether NaN is a number like others
  bool any_infinity = false;  // the same
  std::int64_t limit = 0;     // the largest whole number
  std::string text;           // for what is missing
  std::int64_t integer = 0;   // the same
  double number = 0;          // the same
};

// A field's inputs; without values where someone has to look closer.
struct RawInputs {
  pybind11::object values;
  pybind11::object counts;   // of a list: how many of its places are taken
  pybind11::object missing;  // which values are; null: none is
  std::int64_t rows = 0;
};

// Reads values that are of the very type that they should be. The others it leaves to whoever
// looks closer and words errors.
RawInputs read_raw(const RawField& field, const pybind11::handle& value);

// Reads rows that hold all fields and nothing else.
class RowReader {
 public:
  struct Place {
    pybind11::str name;
    RawField field;
    int value = -1;    // the input that takes the values; -1: none
    int count = -1;    // that takes how many of a list's places are taken
    int missing = -1;  // that takes whether the value is missing
  };

  RowReader(std::vector<Place> fields, std::size_t inputs);

  // A tuple of the inputs of a dictionary, or of a list of dictionaries, one for each row; or None.
  pybind11::object read(const pybind11::handle& rows) const;

 private:
  bool append_row(const pybind11::handle& row, std::vector<pybind11::object>& values) const;
  template <class Read>
  pybind11::object read_fields(const Read& read) const;

  std::vector<Place> fields_;
  std::size_t inputs_;
  pybind11::object present_;  // what says that a row's value is not missing
};

void bind_row_reader(pybind11::module_& module);

}  // namespace pyrec
