#pragma once

// Tensors of strings as Python hands them on. All of it needs the interpreter lock.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bindings/text_reader.h"
#include "core/scratch.h"
#include "core/tensor.h"

namespace pyrec {

// Strings that tensors borrow, with what keeps their bytes. Immutable.
class Strings {
 public:
  using Keeper = std::shared_ptr<const void>;

  // Of an array of any kind and shape. Throws OpError(kDType) where an element is no string.
  explicit Strings(const pybind11::array& array);
  Strings(ScratchVector<Text> texts, const Shape& shape, std::vector<Keeper> kept);
  // Of elements none of which is missing.
  Strings(ReadTexts read, const Shape& shape);
  // What tensors borrow stays where it is when it is moved, not when it is copied.
  Strings(const Strings&) = delete;
  Strings& operator=(const Strings&) = delete;
  Strings(Strings&&) = default;
  Strings& operator=(Strings&&) = default;

  const Shape& shape() const { return shape_; }
  std::int64_t size() const { return static_cast<std::int64_t>(texts_.size()); }
  std::size_t bytes() const { return texts_.size() * sizeof(Text); }
  Tensor tensor() const;

  // Rows of the first axis: of a slice, or of whole numbers of any shape, which stands in the place
  // of that axis. Throws pybind11::index_error for a row that there is not.
  Strings at(const pybind11::object& index) const;

  // The same strings in another shape of as many. Throws OpError(kShape) for others.
  Strings reshaped(const std::vector<std::int64_t>& sizes) const;

 private:
  void take(ReadTexts read);
  std::size_t per_row() const;

  Shape shape_;
  ScratchVector<Text> texts_;
  std::vector<Keeper> kept_;
};

// The strings of such an object; false for any other.
bool borrow_strings(const pybind11::handle& item, Tensor& tensor);

// The strings of such an object or of an array, which `held` keeps then; false for any other.
bool borrow_texts(const pybind11::handle& item, std::vector<Strings>& held, Tensor& tensor);

// An array of the tensor's strings as objects; those of the same bytes at the same place are one.
pybind11::array texts_to_array(const Tensor& tensor);

// The same as callers of the package get them: of a fixed width, where that loses nothing and takes
// little memory, else as objects.
pybind11::array texts_to_caller(const Tensor& tensor);

void bind_text_tensor(pybind11::module_& module);

}  // namespace pyrec
