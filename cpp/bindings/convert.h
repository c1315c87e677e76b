#pragma once

// NumPy arrays, names and attribute dictionaries to the core's types and back.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "core/tensor.h"
#include "dispatch/kernels.h"
#include "plan/op.h"

namespace pyrec {

// An array whose elements lie as C++ reads them; others are copied. Contiguous alone may be at any
// address.
template <class T>
using PlainArray = pybind11::array_t<T, int{pybind11::array::c_style} |
                                            int{pybind11::detail::npy_api::NPY_ARRAY_ALIGNED_}>;

// A view of the array's memory; the caller keeps the array alive. Throws OpError(kDType) for an
// element type the core does not have, OpError(kShape) for memory it cannot address.
Tensor borrow_array(const pybind11::array& array);

// Whether an object is exactly a NumPy array, no subclass.
bool is_plain_array(const pybind11::handle& item);

// The same for what can be borrowed as it is and is exactly an array; false for all else.
bool borrow_plain(const pybind11::handle& item, Tensor& tensor);

// An array of its own with the tensor's elements.
pybind11::array copy_to_array(const Tensor& tensor);

// Throws OpError(kUnsupported) where this machine has no such backend.
const Kernels& kernels_named(const std::string& isa);

// Array attributes are borrowed: the dictionary has to stay alive.
Attributes read_attributes(const pybind11::dict& items);

}  // namespace pyrec
