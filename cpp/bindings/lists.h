#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <span>

namespace pyrec {

// The items of a list or a tuple, which stay as they are while nothing of Python's runs.
using ListItems = std::span<PyObject* const>;

inline bool is_list(PyObject* item) { return PyList_CheckExact(item) || PyTuple_CheckExact(item); }

inline ListItems items_of(PyObject* list) {
  return {PySequence_Fast_ITEMS(list), static_cast<std::size_t>(PySequence_Fast_GET_SIZE(list))};
}

}  // namespace pyrec
