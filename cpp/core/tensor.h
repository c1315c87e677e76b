#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "core/arena.h"
#include "core/dtype.h"
#include "core/error.h"

namespace pyrec {

constexpr int kMaxRank = 8;

// Sizes of up to kMaxRank axes.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<std::int64_t> sizes) {
    for (std::int64_t size : sizes) push_back(size);
  }
  Shape(const Shape& other) { assign(other); }
  Shape& operator=(const Shape& other) {
    assign(other);
    return *this;
  }
  int rank() const { return rank_; }
  void clear() { rank_ = 0; }
  std::int64_t operator[](int axis) const { return sizes_[static_cast<std::size_t>(axis)]; }
  std::int64_t& operator[](int axis) { return sizes_[static_cast<std::size_t>(axis)]; }
  void push_back(std::int64_t size) {
    if (rank_ == kMaxRank) throw OpError(ErrorKind::kUnsupported, "more than 8 axes");
    sizes_[static_cast<std::size_t>(rank_++)] = size;
  }
  std::int64_t elements() const { return product(0, rank_); }
  std::int64_t product(int begin, int end) const {
    std::int64_t total = 1;
    for (int axis = begin; axis < end; ++axis) total *= (*this)[axis];
    return total;
  }
  const std::int64_t* begin() const { return sizes_.data(); }
  const std::int64_t* end() const { return sizes_.data() + rank_; }
  friend bool operator==(const Shape& a, const Shape& b) {
    if (a.rank_ != b.rank_) return false;
    for (int axis = 0; axis < a.rank_; ++axis) {
      if (a[axis] != b[axis]) return false;
    }
    return true;
  }

 private:
  // Size by size: a shape is often copied right after it was written so, and a processor cannot
  // load what lies in two stores before both are done.
  void assign(const Shape& other) {
    rank_ = other.rank_;
    switch (rank_) {
      default:
        sizes_ = other.sizes_;
        break;
      case 4:
        sizes_[3] = other.sizes_[3];
        [[fallthrough]];
      case 3:
        sizes_[2] = other.sizes_[2];
        [[fallthrough]];
      case 2:
        sizes_[1] = other.sizes_[1];
        [[fallthrough]];
      case 1:
        sizes_[0] = other.sizes_[0];
        [[fallthrough]];
      case 0:
        break;
    }
  }

  std::array<std::int64_t, kMaxRank> sizes_{};
  int rank_ = 0;
};

// A strided view. Without an owner the memory is borrowed and outlives the run.
struct Tensor {
  std::byte* data = nullptr;
  DType dtype = DType::kFloat32;
  Shape shape;
  Shape strides;  // in elements; 0 repeats
  BufferRef owner;

  int rank() const { return shape.rank(); }
  std::int64_t elements() const { return shape.elements(); }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data);
  }
  bool contiguous() const;
  void reset() {
    data = nullptr;
    dtype = DType::kFloat32;
    shape.clear();
    strides.clear();
    owner.reset();
  }
};

inline Shape contiguous_strides(const Shape& shape) {
  Shape strides = shape;
  std::int64_t step = 1;
  for (int axis = shape.rank() - 1; axis >= 0; --axis) {
    strides[axis] = step;
    step *= shape[axis];
  }
  return strides;
}

// What a step reads or makes: a tensor, or a sequence of tensors.
struct Value {
  Tensor tensor;
  std::vector<Tensor> sequence;
  bool is_sequence = false;

  // Lets go of the memory; cheaper than to assign a new value.
  void reset() {
    tensor.reset();
    if (is_sequence) {
      sequence.clear();
      is_sequence = false;
    }
  }
};

}  // namespace pyrec
