#pragma once

// Helpers that every operator family shares: allocation, views, broadcasting, type dispatch.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/watch.h"
#include "plan/op.h"

namespace pyrec {

// The number of elements of a shape that may come from a model or a request; throws OpError where a
// size is negative or the product is beyond what any tensor can have.
std::int64_t checked_elements(const Shape& shape);

// The bytes of a contiguous tensor; throws OpError where this machine cannot hold that many.
std::size_t checked_bytes(DType dtype, const Shape& shape);

// A new contiguous tensor; its elements are not set.
Tensor allocate(Context& context, DType dtype, const Shape& shape);

// A tensor for an operator's result: in the memory that `out` comes with where that has this type
// and shape, else a new one. Offered memory has plain rows, which need not lie side by side.
Tensor made_where_offered(Context& context, const Value& out, DType dtype, const Shape& shape);

// The same memory with another shape and strides, sharing the owner.
Tensor view(const Tensor& tensor, const Shape& shape, const Shape& strides,
            std::int64_t offset_elements = 0);

// The tensor itself if it is contiguous, else a contiguous copy.
Tensor contiguous(Context& context, const Tensor& tensor);

// Copies elements between tensors of one shape and dtype, whatever their strides.
void copy_elements(const Tensor& from, const Tensor& to);

// NumPy's broadcasting; throws OpError(kShape) where the sizes do not fit.
Shape broadcast_shapes(const Shape& a, const Shape& b);

// A stride-0 view of `tensor` with the (broadcastable) target shape.
Tensor broadcast_to(const Tensor& tensor, const Shape& target);

// Brings a possibly negative axis into [0, rank); throws OpError(kShape) if it is outside.
int normalize_axis(std::int64_t axis, int rank);

// A small integer tensor (axes, shape, starts, ...) as a vector, from int32 or int64, any strides.
std::vector<std::int64_t> read_integers(const Tensor& tensor);

// A tensor of one element, of any numeric type, as double or int64.
double read_scalar(const Tensor& tensor);
std::int64_t read_integer(const Tensor& tensor);

// For errors: what floats have to be to stand for whole numbers, and what was found.
std::string whole_numbers_rule(DType dtype, bool missing, const std::string& reason = "");

[[noreturn]] void refuse_missing(std::size_t index);
[[noreturn]] void refuse_sequence(std::size_t index);

// An input that may be absent: null then.
inline const Tensor* optional(std::span<const Value* const> in, std::size_t index) {
  if (index >= in.size() || !in[index]) return nullptr;
  if (in[index]->is_sequence) refuse_sequence(index);
  return &in[index]->tensor;
}

inline const Tensor& required(std::span<const Value* const> in, std::size_t index) {
  const Tensor* tensor = optional(in, index);
  if (!tensor) refuse_missing(index);
  return *tensor;
}

std::string describe(const Shape& shape);

// The dtype of that name, as in the attributes `to` and `dtype`; throws OpError(kDType) for one
// that tensors here cannot have.
DType dtype_from_name(const std::string& name);

// Converts elements with ONNX Cast's rules (float to integer truncates, NaN and overflow give what
// the CPU gives for x86-64's cvttss2si widened to int64, any number to bool is `!= 0`).
Tensor cast(Context& context, const Tensor& tensor, DType to);

template <class T>
struct TypeTag {
  using type = T;
};

// Calls f(TypeTag<T>{}) with the C++ type of the dtype; Half stands for float16. Throws
// OpError(kDType) for strings.
template <class F>
decltype(auto) dispatch(DType dtype, F&& f) {
  switch (dtype) {
    case DType::kBool:
      return f(TypeTag<bool>{});
    case DType::kInt8:
      return f(TypeTag<std::int8_t>{});
    case DType::kInt16:
      return f(TypeTag<std::int16_t>{});
    case DType::kInt32:
      return f(TypeTag<std::int32_t>{});
    case DType::kInt64:
      return f(TypeTag<std::int64_t>{});
    case DType::kUint8:
      return f(TypeTag<std::uint8_t>{});
    case DType::kUint16:
      return f(TypeTag<std::uint16_t>{});
    case DType::kUint32:
      return f(TypeTag<std::uint32_t>{});
    case DType::kUint64:
      return f(TypeTag<std::uint64_t>{});
    case DType::kFloat16:
      return f(TypeTag<Half>{});
    case DType::kFloat32:
      return f(TypeTag<float>{});
    case DType::kFloat64:
      return f(TypeTag<double>{});
    case DType::kText:
      break;
  }
  throw OpError(ErrorKind::kDType, "no such operator for strings");
}

// Like dispatch, for code that only moves elements: one type per element size.
template <class F>
decltype(auto) dispatch_size(DType dtype, F&& f) {
  switch (item_size(dtype)) {
    case 1:
      return f(TypeTag<std::uint8_t>{});
    case 2:
      return f(TypeTag<std::uint16_t>{});
    case 4:
      return f(TypeTag<std::uint32_t>{});
    case 8:
      return f(TypeTag<std::uint64_t>{});
    default:
      return f(TypeTag<Text>{});
  }
}

// Walks all positions of `shape` but the last `inner` axes, giving the element offsets of each of
// the strides in turn: f(offsets[0], offsets[1], ...). Used as the outer loop around a kernel.
// Looks at the call's watch from time to time.
template <std::size_t Count, class F>
void for_each_outer(const Shape& shape, int inner, const std::array<Shape, Count>& strides, F&& f) {
  const int outer = shape.rank() - inner;
  for (int axis = 0; axis < outer; ++axis) {
    if (shape[axis] == 0) return;
  }
  constexpr std::size_t kOverhead = 16;
  std::size_t each = 1;
  for (int axis = outer; axis < shape.rank(); ++axis) {
    each *= static_cast<std::size_t>(shape[axis]);
  }
  std::size_t work = 0;
  std::array<std::int64_t, kMaxRank> index{};
  std::array<std::int64_t, Count> offsets{};
  while (true) {
    std::apply([&](auto... offset) { f(offset...); }, offsets);
    int axis = outer - 1;
    for (; axis >= 0; --axis) {
      const auto a = static_cast<std::size_t>(axis);
      for (std::size_t i = 0; i < Count; ++i) offsets[i] += strides[i][axis];
      if (++index[a] < shape[axis]) break;
      for (std::size_t i = 0; i < Count; ++i) offsets[i] -= strides[i][axis] * shape[axis];
      index[a] = 0;
    }
    if (axis < 0) return;
    work += each + kOverhead;
    if (work >= kWatchedElements) {
      work = 0;
      Watch::check();
    }
  }
}

// Drops axes of size 1 and merges neighbouring axes that each of the strides walks as one. At least
// one axis is left.
template <std::size_t Count>
void coalesce(Shape& shape, std::array<Shape, Count>& strides) {
  Shape sizes;
  std::array<Shape, Count> steps;
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis] == 1) continue;
    const int last = sizes.rank() - 1;
    bool merge = last >= 0;
    for (std::size_t i = 0; merge && i < Count; ++i) {
      merge = steps[i][last] == strides[i][axis] * shape[axis];
    }
    if (merge) {
      sizes[last] *= shape[axis];
    } else {
      sizes.push_back(shape[axis]);
    }
    for (std::size_t i = 0; i < Count; ++i) {
      if (merge) {
        steps[i][last] = strides[i][axis];
      } else {
        steps[i].push_back(strides[i][axis]);
      }
    }
  }
  if (sizes.rank() == 0) {
    sizes.push_back(1);
    for (Shape& step : steps) step.push_back(1);
  }
  shape = sizes;
  strides = steps;
}

}  // namespace pyrec
