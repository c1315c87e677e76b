#include <algorithm>
#include <cmath>
#include <limits>

#include "plan/op_list.h"
#include "plan/ops/elementwise.h"

namespace pyrec {
namespace {

template <class T>
void where_run(const bool* condition, std::int64_t condition_step, const T* a, std::int64_t a_step,
               const T* b, std::int64_t b_step, T* y, std::int64_t n) {
  if (condition_step == 0) {
    const T* chosen = *condition ? a : b;
    if ((*condition ? a_step : b_step) == 1) {
      std::copy_n(chosen, n, y);
    } else {
      std::fill_n(y, n, *chosen);
    }
  } else if (a_step == 1 && b_step == 1) {
    for (std::int64_t i = 0; i < n; ++i) y[i] = blend(condition[i], a[i], b[i]);
  } else if (a_step == 1) {
    const T fixed = *b;
    for (std::int64_t i = 0; i < n; ++i) y[i] = blend(condition[i], a[i], fixed);
  } else if (b_step == 1) {
    const T fixed = *a;
    for (std::int64_t i = 0; i < n; ++i) y[i] = blend(condition[i], fixed, b[i]);
  } else {
    const T yes = *a;
    const T no = *b;
    for (std::int64_t i = 0; i < n; ++i) y[i] = blend(condition[i], yes, no);
  }
}

class Where {
 public:
  explicit Where(const OpSpec&) {}
  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& condition = required(in, 0);
    const Tensor& a = required(in, 1);
    const Tensor& b = required(in, 2);
    expect_dtype(condition, DType::kBool);
    expect_dtype(b, a.dtype);
    Broadcast<3> walk(context, {condition, a, b}, a.dtype);
    dispatch_size(a.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const bool* c = walk.data<bool>(0);
      const T* x = walk.data<T>(1);
      const T* y = walk.data<T>(2);
      T* result = walk.result.as<T>();
      walk.for_each_run(
          [&](std::int64_t i, std::int64_t j, std::int64_t k, std::int64_t l, std::int64_t n) {
            where_run(c + i, walk.step(0), x + j, walk.step(1), y + k, walk.step(2), result + l, n);
          });
    });
    out[0].tensor = walk.result;
  }
};

// Of values [B, L] those at places [L] below their row's count [B], padding for the others.
class PadLists {
 public:
  explicit PadLists(const OpSpec&) {}
  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor values = contiguous(context, required(in, 0));
    const Tensor counts = contiguous(context, required(in, 1));
    const Tensor places = contiguous(context, required(in, 2));
    const Tensor& padding = required(in, 3);
    expect_dtype(padding, values.dtype);
    expect_dtype(counts, DType::kInt64);
    expect_dtype(places, DType::kInt64);
    if (values.rank() != 2 || !(counts.shape == Shape{values.shape[0]}) ||
        !(places.shape == Shape{values.shape[1]}) || padding.rank() != 0) {
      throw OpError(ErrorKind::kShape,
                    "expected lists, a count for each, places and a scalar, got shapes " +
                        describe(values.shape) + ", " + describe(counts.shape) + ", " +
                        describe(places.shape) + " and " + describe(padding.shape));
    }
    const Tensor made = allocate(context, values.dtype, values.shape);
    const std::int64_t length = values.shape[1];
    dispatch_size(values.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T fill = *padding.as<T>();
      const auto* place = places.as<std::int64_t>();
      in_parts(static_cast<std::size_t>(values.shape[0]),
               std::max<std::size_t>(1, kWatchedElements / static_cast<std::size_t>(length + 1)),
               [&](std::size_t begin, std::size_t count) {
                 for (std::size_t row = begin; row < begin + count; ++row) {
                   const std::int64_t end = counts.as<std::int64_t>()[row];
                   const T* from = values.as<T>() + static_cast<std::int64_t>(row) * length;
                   T* to = made.as<T>() + static_cast<std::int64_t>(row) * length;
                   for (std::int64_t i = 0; i < length; ++i) {
                     to[i] = blend(place[i] < end, from[i], fill);
                   }
                 }
               });
    });
    out[0].tensor = made;
  }
};

template <class T>
T bound_or(const Tensor* bound, DType dtype, T fallback) {
  if (!bound) return fallback;
  expect_dtype(*bound, dtype);
  if (bound->elements() != 1) {
    throw OpError(ErrorKind::kShape,
                  "expected a scalar bound, got shape " + describe(bound->shape));
  }
  if constexpr (std::is_same_v<T, float>) {
    if (dtype == DType::kFloat16) return static_cast<float>(*bound->as<Half>());
  }
  return *bound->as<T>();
}

// A bound that is NaN does not bind; an element that is NaN stays.
template <class T>
Tensor clip(Context& context, const Tensor& x, T low, T high) {
  const Tensor source = contiguous(context, x);
  Tensor result = allocate(context, x.dtype, x.shape);
  const T* from = source.as<T>();
  T* to = result.as<T>();
  const std::int64_t n = source.elements();
  if constexpr (std::is_same_v<T, float>) {
    if (std::isnan(low)) low = -std::numeric_limits<T>::infinity();
    if (std::isnan(high)) high = std::numeric_limits<T>::infinity();
    constexpr std::int64_t kBlock = 2048;
    for (std::int64_t i = 0; i < n; i += kBlock) {
      const auto length = static_cast<std::size_t>(std::min(kBlock, n - i));
      context.kernels.maximum_f32(from + i, 1, &low, 0, to + i, length);
      context.kernels.minimum_f32(to + i, 1, &high, 0, to + i, length);
    }
  } else {
    for (std::int64_t i = 0; i < n; ++i) {
      const T raised = from[i] < low ? low : from[i];
      to[i] = raised > high ? high : raised;
    }
  }
  return result;
}

class Clip {
 public:
  explicit Clip(const OpSpec&) {}
  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& x = required(in, 0);
    const Tensor* low = optional(in, 1);
    const Tensor* high = optional(in, 2);
    if (x.dtype == DType::kFloat16) {
      constexpr float kMax = 65504;
      const Tensor result = clip(context, cast(context, x, DType::kFloat32),
                                 bound_or(low, x.dtype, -kMax), bound_or(high, x.dtype, kMax));
      out[0].tensor = cast(context, result, DType::kFloat16);
      return;
    }
    out[0].tensor = dispatch(x.dtype, [&](auto tag) -> Tensor {
      using T = typename decltype(tag)::type;
      if constexpr (kIsNumeric<T>) {
        return clip(context, x, bound_or(low, x.dtype, std::numeric_limits<T>::lowest()),
                    bound_or(high, x.dtype, std::numeric_limits<T>::max()));
      } else {
        refuse_dtype(x.dtype);
      }
    });
  }
};

constexpr OpEntry kOps[] = {
    {"Clip", make_op<Clip>},
    {"Where", make_op<Where>},
    {"pyrec.PadLists", make_op<PadLists>},
};

}  // namespace

std::span<const OpEntry> select_ops() { return kOps; }

}  // namespace pyrec
