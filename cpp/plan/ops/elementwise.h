#pragma once

// What the elementwise families share: the broadcasting loop and wrap-around integer arithmetic.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <tuple>
#include <type_traits>

#include "plan/convert.h"
#include "plan/tensor_tools.h"

namespace pyrec {

template <class T>
inline constexpr bool kIsInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

template <class T>
inline constexpr bool kIsNumeric = kIsInteger<T> || std::is_floating_point_v<T>;

[[noreturn]] inline void refuse_dtype(DType dtype) {
  throw OpError(ErrorKind::kDType, std::string("no such operator for ") + dtype_name(dtype));
}

inline void expect_dtype(const Tensor& tensor, DType expected) {
  if (tensor.dtype != expected) {
    throw OpError(ErrorKind::kDType, std::string("expected ") + dtype_name(expected) + ", got " +
                                         dtype_name(tensor.dtype));
  }
}

// Unsigned arithmetic wraps; it must be at least as wide as int, or promotion makes it signed.
template <class T>
using Wrapping = std::conditional_t<(sizeof(T) < 4), std::uint32_t, std::make_unsigned_t<T>>;

template <class T>
T wrapping_negative(T x) {
  return static_cast<T>(Wrapping<T>{0} - static_cast<Wrapping<T>>(x));
}

template <class T>
T wrapping_product(T a, T b) {
  return static_cast<T>(static_cast<Wrapping<T>>(a) * static_cast<Wrapping<T>>(b));
}

// choose ? yes : no without a branch: compilers do not vectorise a conditional whose arms may trap.
template <class T>
T blend(bool choose, T yes, T no) {
  using Bits = std::conditional_t<
      sizeof(T) == 8, std::uint64_t,
      std::conditional_t<sizeof(T) == 4, std::uint32_t,
                         std::conditional_t<sizeof(T) == 2, std::uint16_t, std::uint8_t>>>;
  const auto mask = static_cast<Bits>(Bits{0} - static_cast<Bits>(choose));
  return std::bit_cast<T>(static_cast<Bits>((std::bit_cast<Bits>(yes) & mask) |
                                            (std::bit_cast<Bits>(no) & static_cast<Bits>(~mask))));
}

inline Text blend(bool choose, Text yes, Text no) { return choose ? yes : no; }

// Operands broadcast against each other, the new tensor that takes the result, and the runs along
// the innermost axis that are left after merging axes. Along a run each operand has step 0 or 1; a
// long one is cut into parts.
template <std::size_t Count>
class Broadcast {
 public:
  Broadcast(Context& context, const std::array<Tensor, Count>& operands, DType result_type)
      : operands_(operands) {
    Shape shape = operands[0].shape;
    for (const Tensor& operand : operands) shape = broadcast_shapes(shape, operand.shape);
    result = allocate(context, result_type, shape);
    merge();
    bool copied = false;
    for (std::size_t i = 0; i < Count; ++i) {
      if (step(i) != 0 && step(i) != 1) {
        operands_[i] = contiguous(context, operands_[i]);
        copied = true;
      }
    }
    if (copied) merge();
    lengthen(context);
  }

  // f(offset of each operand..., offset of the result, length)
  template <class F>
  void for_each_run(F&& f) const {
    walk(&f, [](const void* body, const std::array<std::int64_t, Count + 1>& at, std::int64_t n) {
      const auto& run = *static_cast<const std::remove_reference_t<F>*>(body);
      std::apply([&](auto... offsets) { run(offsets..., n); }, at);
    });
  }

  template <class T>
  const T* data(std::size_t i) const {
    return operands_[i].template as<T>();
  }
  std::int64_t step(std::size_t i) const { return strides_[i][shape_.rank() - 1]; }

  Tensor result;

 private:
  static constexpr std::int64_t kShortRun = 32;
  static constexpr std::int64_t kFewRuns = 8;
  static constexpr std::int64_t kRepeatedElements = 4096;

  // Compiled once for all operators: a call for each run costs little, the loops around it much
  // code.
  using Run = void (*)(const void* body, const std::array<std::int64_t, Count + 1>& at,
                       std::int64_t n);
  void walk(const void* body, Run run) const {
    if (result.elements() == 0) return;
    const auto whole = static_cast<std::size_t>(shape_[shape_.rank() - 1]);
    for_each_outer(shape_, 1, strides_, [&](auto... starts) {
      in_parts(whole, kWatchedElements, [&](std::size_t begin, std::size_t count) {
        std::array<std::int64_t, Count + 1> at{starts...};
        for (std::size_t i = 0; i <= Count; ++i)
          at[i] += static_cast<std::int64_t>(begin) * step(i);
        run(body, at, static_cast<std::int64_t>(count));
      });
    });
  }

  // A short row that all rows of the others meet is repeated, so that a run takes many rows.
  void lengthen(Context& context) {
    if (shape_.rank() != 2 || shape_[1] >= kShortRun || shape_[0] < kFewRuns) return;
    const std::int64_t size = shape_[1];
    bool shared = false;
    for (std::size_t i = 0; i <= Count; ++i) {
      const std::int64_t across = strides_[i][0];
      const std::int64_t along = strides_[i][1];
      if ((along != 1 || (across != 0 && across != size)) && (along != 0 || across != 0)) return;
      shared |= along == 1 && across == 0;
    }
    std::int64_t rows = std::min(shape_[0], kRepeatedElements / size);
    while (shape_[0] % rows != 0) --rows;
    if (!shared || rows < kFewRuns) return;
    for (std::size_t i = 0; i <= Count; ++i) {
      if (i < Count && strides_[i][1] == 1 && strides_[i][0] == 0) {
        operands_[i] = repeated(context, operands_[i], size, rows);
      }
      strides_[i][0] *= rows;
    }
    shape_[0] /= rows;
    shape_[1] *= rows;
  }

  static Tensor repeated(Context& context, const Tensor& row, std::int64_t size,
                         std::int64_t rows) {
    const auto bytes = static_cast<std::size_t>(size) * item_size(row.dtype);
    const std::size_t total = bytes * static_cast<std::size_t>(rows);
    Tensor result = allocate(context, row.dtype, {rows, size});
    std::memcpy(result.data, row.data, bytes);
    for (std::size_t done = bytes; done < total;) {
      const std::size_t more = std::min(done, total - done);
      std::memcpy(result.data + done, result.data, more);
      done += more;
    }
    return result;
  }

  void merge() {
    shape_ = result.shape;
    for (std::size_t i = 0; i < Count; ++i) {
      strides_[i] = broadcast_to(operands_[i], result.shape).strides;
    }
    strides_[Count] = result.strides;
    coalesce(shape_, strides_);
  }

  std::array<Tensor, Count> operands_;
  Shape shape_;
  std::array<Shape, Count + 1> strides_;
};

// y[i] = f(a[i * a_step], b[i * b_step]), each step 0 or 1; written out so that each loop has
// constant steps and vectorises.
template <class A, class B, class R, class F>
void map_run(const F& f, const A* a, std::int64_t a_step, const B* b, std::int64_t b_step, R* y,
             std::int64_t n) {
  if (a_step == 1 && b_step == 1) {
    for (std::int64_t i = 0; i < n; ++i) y[i] = f(a[i], b[i]);
  } else if (a_step == 1) {
    const B fixed = *b;
    for (std::int64_t i = 0; i < n; ++i) y[i] = f(a[i], fixed);
  } else if (b_step == 1) {
    const A fixed = *a;
    for (std::int64_t i = 0; i < n; ++i) y[i] = f(fixed, b[i]);
  } else {
    const R fixed = f(*a, *b);
    for (std::int64_t i = 0; i < n; ++i) y[i] = fixed;
  }
}

// A new tensor, of a type that R stores, with f of every pair of elements.
template <class A, class B, class R, class F>
Tensor map_pairs(Context& context, const F& f, const Tensor& a, const Tensor& b,
                 DType made = DTypeOf<R>::value) {
  Broadcast<2> walk(context, {a, b}, made);
  const A* x = walk.template data<A>(0);
  const B* y = walk.template data<B>(1);
  R* result = walk.result.template as<R>();
  walk.for_each_run([&](std::int64_t i, std::int64_t j, std::int64_t k, std::int64_t n) {
    map_run(f, x + i, walk.step(0), y + j, walk.step(1), result + k, n);
  });
  return walk.result;
}

// A functor is made from the attributes if it has any.
template <class F>
F make_functor(const Attributes& attributes) {
  if constexpr (std::is_constructible_v<F, const Attributes&>) {
    return F(attributes);
  } else {
    return F{};
  }
}

}  // namespace pyrec
