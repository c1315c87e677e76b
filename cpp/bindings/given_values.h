#pragma once

// What callers give for inputs, as tensors. All of it needs the interpreter lock.

#include <pybind11/pybind11.h>

#include "bindings/row_reader.h"
#include "core/tensor.h"
#include "plan/executor.h"

namespace pyrec {

// Whether a tensor has the input's rank and a type that converts to its own.
bool is_fitting(const Tensor& tensor, const InputSpec& input);

// An array as it lies, of such a kind; false for all else.
bool borrow_fitting(const pybind11::handle& value, const InputSpec& input, Tensor& tensor);

// The values of one call that need no closer look: arrays of NumPy, numbers of Python and of NumPy,
// lists of nothing but int or nothing but float. Axes of size 1 may be left out as `with_rows` of
// the Python package has it. What it takes is what that makes of the same value, and nothing of
// Python's runs meanwhile.
class GivenValues {
 public:
  // `lone`: whether the value is that of one request. False where someone has to look closer.
  bool take(const pybind11::handle& value, const InputSpec& input, bool lone, Tensor& tensor);

 private:
  bool read_number(PyObject* value, Tensor& tensor);
  bool read_list(PyObject* value, Tensor& tensor);
  template <class T>
  void put(T number, Tensor& tensor);

  RowMemory memory_;
};

// To be called once, when the module is made.
void find_number_types();

}  // namespace pyrec
