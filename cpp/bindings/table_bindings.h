#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>

namespace pyrec {

// Smaller batches take less time than others would wait for the interpreter lock to change hands.
// Above it a change runs without that lock, so a fork could find it half done: only for a map that
// no other thread has yet.
constexpr std::size_t kLongBatch = 4096;

void bind_tables(pybind11::module_& module);

}  // namespace pyrec
