#pragma once

// Tensors of strings: elements are views, and whatever moves elements moves them without their
// bytes.

#include <cstddef>
#include <string_view>
#include <utility>

#include "plan/op.h"
#include "plan/tensor_tools.h"

namespace pyrec {

// Strings that a step makes one after another, whose bytes take so much room in all. The arena
// keeps them until the tile or the call is over.
class TextWriter {
 public:
  TextWriter(Context& context, const Shape& shape, std::size_t bytes);

  // Room for the bytes of the next string; `end` says how many it has.
  char* begin() { return at_; }
  void end(const char* behind) {
    *next_++ = {at_, static_cast<std::size_t>(behind - at_)};
    at_ += behind - at_;
  }
  Text append(std::string_view text);
  // The next string, whose bytes are where others of its kind are.
  Text repeat(const Text& text) { return *next_++ = text; }

  const Tensor& tensor() const { return tensor_; }

 private:
  Tensor tensor_;
  Text* next_;
  char* at_ = nullptr;
};

// Strings of so many bytes, which may stand at many places of a tensor, are copied once.
inline constexpr std::size_t kLongText = 256;

// An order of views in which those of the same bytes at the same place are equal.
struct SamePlace {
  bool operator()(std::string_view a, std::string_view b) const {
    return std::pair(a.data(), a.size()) < std::pair(b.data(), b.size());
  }
};

// All bytes of a contiguous tensor's strings, as often as they are in it.
std::size_t text_bytes(const Tensor& tensor);

// The bytes of a copy of them.
std::size_t copied_bytes(const Tensor& tensor);

// A copy with bytes of its own.
Tensor copy_texts(Context& context, const Tensor& tensor);

// Refuses, with its row, an element of a contiguous tensor that is not UTF-8; of several, the
// first.
void require_utf8(const Tensor& tensor, std::int64_t element, std::int64_t count = 1);

// Which row an element of a contiguous tensor is in; -1 for a scalar's.
std::int64_t row_of(const Tensor& tensor, std::int64_t element);

}  // namespace pyrec
