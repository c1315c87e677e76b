#pragma once

// Raw values of Python, alone, in lists and in dictionaries, as the inputs that a schema makes of
// them. All of it needs the interpreter lock.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/tensor.h"

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

// The memory of what was read: few pieces, as a request comes with cold caches.
class RowMemory {
 public:
  template <class T>
  T* take(std::int64_t count) {
    return reinterpret_cast<T*>(
        take_bytes(static_cast<std::size_t>(count) * sizeof(T), alignof(T)));
  }
  // Never null. Alignments are powers of two, no larger than that of any type.
  char* take_bytes(std::size_t size, std::size_t aligned);

 private:
  static constexpr std::size_t kAligned = alignof(std::max_align_t);

  std::vector<std::unique_ptr<std::byte[]>> pieces_;
  std::byte* at_ = nullptr;
  std::size_t left_ = 0;
  std::size_t next_ = 4096;  // bytes of the next piece
};

// A field's inputs, in such a memory; without data where there are none.
struct RawInputs {
  Tensor values;
  Tensor counts;   // of a list: how many of its places are taken
  Tensor missing;  // which values are, if one is
  std::int64_t rows = 0;
};

// Reads values that are of the very type that they should be. False for the others, which it leaves
// to whoever looks closer and words errors.
bool read_raw(const RawField& field, const pybind11::handle& value, RowMemory& memory,
              RawInputs& inputs);

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

  std::size_t inputs() const { return inputs_; }

  // Gives the inputs in order, those that anyone wants, of a dictionary, or of a list of
  // dictionaries, one for each row. False where someone has to look closer.
  bool read(const pybind11::handle& rows, RowMemory& memory, std::span<Tensor* const> inputs) const;

 private:
  bool in_order(PyObject* row, std::vector<PyObject*>& values) const;
  bool append_row(const pybind11::handle& row, std::vector<pybind11::object>& values) const;
  template <class Read>
  bool read_fields(RowMemory& memory, std::span<Tensor* const> inputs, const Read& read) const;

  std::vector<Place> fields_;
  std::vector<PyObject*> names_;  // of the fields, which keep them
  std::size_t inputs_;
};

void bind_row_reader(pybind11::module_& module);

}  // namespace pyrec
