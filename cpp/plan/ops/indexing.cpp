#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/elementwise.h"
#include "plan/ops/take.h"
#include "plan/tensor_tools.h"

namespace pyrec {

void refuse_index(std::int64_t size, std::int64_t row) {
  throw OpError(ErrorKind::kIdRange, outside_table(size, false), row);
}

namespace {

// The axes of a slice that is copied many times, merged; not for empty slices.
struct SliceWalk {
  SliceWalk(Shape sizes, const Shape& steps) : shape(sizes), strides{steps} {
    coalesce(shape, strides);
  }

  int last() const { return shape.rank() - 1; }
  bool one_run() const { return last() == 0 && (strides[0][0] == 1 || shape[0] == 1); }

  template <class T>
  T* copy(const T* from, T* to) const {
    const std::int64_t n = shape[last()];
    const std::int64_t step = strides[0][last()];
    for_each_outer(shape, 1, strides, [&](std::int64_t offset) {
      const T* x = from + offset;
      if (step == 1 && n >= 8) {
        std::memcpy(to, x, static_cast<std::size_t>(n) * sizeof(T));
      } else {
        for (std::int64_t i = 0; i < n; ++i) to[i] = x[i * step];
      }
      to += n;
    });
    return to;
  }

  Shape shape;
  std::array<Shape, 1> strides;
};

// Axes [begin, end) of a shape.
Shape axes_of(const Shape& shape, int begin, int end) {
  Shape result;
  for (int axis = begin; axis < end; ++axis) result.push_back(shape[axis]);
  return result;
}

Shape joined(const Shape& a, const Shape& b) {
  Shape result = a;
  for (std::int64_t size : b) result.push_back(size);
  return result;
}

template <class T>
void check_indices(const T* x, std::int64_t step, std::int64_t n, std::int64_t size, bool strict,
                   std::int64_t per_row, std::int64_t* y) {
  const std::int64_t wrap = strict ? 0 : size;
  std::uint64_t outside = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t index = x[i * step];
    const std::int64_t place = index < 0 ? index + wrap : index;
    outside |= static_cast<std::uint64_t>(static_cast<std::uint64_t>(place) >=
                                          static_cast<std::uint64_t>(size));
    y[i] = place;
  }
  if (outside == 0) return;
  for (std::int64_t i = 0; i < n; ++i) {
    if (y[i] < 0 || y[i] >= size) refuse_id(outside_table(size, strict), i, per_row);
  }
}

// The same for n indices of a tensor from an element on, in `step` steps of memory.
void check_indices(const Tensor& indices, std::int64_t offset, std::int64_t step, std::int64_t n,
                   std::int64_t size, bool strict, std::int64_t per_row, std::int64_t* y) {
  if (indices.dtype == DType::kInt64) {
    check_indices(indices.as<std::int64_t>() + offset, step, n, size, strict, per_row, y);
  } else if (indices.dtype == DType::kInt32) {
    check_indices(indices.as<std::int32_t>() + offset, step, n, size, strict, per_row, y);
  } else {
    throw OpError(ErrorKind::kDType, std::string("indices of type ") + dtype_name(indices.dtype));
  }
}

// Indices brought into [0, size), as a contiguous int64 tensor.
Tensor checked_indices(Context& context, const Tensor& indices, std::int64_t size, bool strict) {
  Tensor result = allocate(context, DType::kInt64, indices.shape);
  const bool column = indices.rank() == 1;
  const Tensor source = column ? indices : contiguous(context, indices);
  check_indices(source, 0, column ? indices.strides[0] : 1, indices.elements(), size, strict,
                count_per_row(indices), result.as<std::int64_t>());
  return result;
}

bool strict_ids(const OpSpec& spec) { return spec.attributes.integer("strict", 0) != 0; }

}  // namespace

std::int64_t count_per_row(const Tensor& ids) {
  const std::int64_t n = ids.elements();
  return n > 0 && ids.rank() > 0 ? n / ids.shape[0] : 0;
}

void refuse_id(std::string rule, std::int64_t place, std::int64_t per_row) {
  if (per_row > 1) rule += ", at position " + std::to_string(place % per_row);
  throw OpError(ErrorKind::kIdRange, std::move(rule), per_row > 0 ? place / per_row : -1);
}

std::string outside_table(std::int64_t size, bool strict) {
  const std::string rows = std::to_string(size);
  return "id outside a table of " + rows + " rows (expected " +
         (strict ? "0" : std::to_string(-size)) + " <= id < " + rows + ")";
}

void check_ids(const Tensor& ids, std::int64_t offset, std::int64_t size, bool strict,
               std::int64_t* rows) {
  check_indices(ids, offset, ids.strides[0], ids.shape[0], size, strict, 1, rows);
}

Tensor take(Context& context, const Tensor& tensor, int axis, std::span<const std::int64_t> index,
            const Shape& index_shape) {
  const int rank = tensor.rank();
  const Shape outer = axes_of(tensor.shape, 0, axis);
  const Shape inner = axes_of(tensor.shape, axis + 1, rank);
  Tensor result = allocate(context, tensor.dtype, joined(joined(outer, index_shape), inner));
  if (result.elements() == 0) return result;
  const SliceWalk slice(inner, axes_of(tensor.strides, axis + 1, rank));
  const std::array<Shape, 1> outer_strides{axes_of(tensor.strides, 0, axis)};
  const std::int64_t step = tensor.strides[axis];
  const std::int64_t width = inner.elements();
  if (tensor.dtype == DType::kFloat32 && slice.one_run() && step == width) {
    float* to = result.as<float>();
    for_each_outer(outer, 0, outer_strides, [&](std::int64_t offset) {
      context.kernels.gather_rows_f32(tensor.as<float>() + offset, static_cast<std::size_t>(width),
                                      index.data(), index.size(), to,
                                      static_cast<std::size_t>(width));
      to += static_cast<std::int64_t>(index.size()) * width;
    });
    return result;
  }
  dispatch_size(tensor.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    T* to = result.as<T>();
    for_each_outer(outer, 0, outer_strides, [&](std::int64_t offset) {
      const T* from = tensor.as<T>() + offset;
      if (width == 1) {
        for (std::int64_t place : index) *to++ = from[place * step];
      } else {
        for (std::int64_t place : index) to = slice.copy(from + place * step, to);
      }
    });
  });
  return result;
}

namespace {

std::span<const std::int64_t> span_of(const Tensor& indices) {
  return {indices.as<std::int64_t>(), static_cast<std::size_t>(indices.elements())};
}

class Gather {
 public:
  explicit Gather(const OpSpec& spec)
      : axis_(spec.attributes.integer("axis", 0)), strict_(strict_ids(spec)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    const Tensor& given = required(in, 1);
    const int axis = normalize_axis(axis_, data.rank());
    const Tensor indices = checked_indices(context, given, data.shape[axis], strict_);
    if (indices.elements() != 1) {
      out[0].tensor = take(context, data, axis, span_of(indices), indices.shape);
      return;
    }
    Shape shape = axes_of(data.shape, 0, axis);
    Shape strides = axes_of(data.strides, 0, axis);
    const int rank = data.rank();
    for (int i = 0; i < indices.rank(); ++i) {
      shape.push_back(1);
      strides.push_back(data.strides[axis]);
    }
    shape = joined(shape, axes_of(data.shape, axis + 1, rank));
    strides = joined(strides, axes_of(data.strides, axis + 1, rank));
    const std::int64_t offset = *indices.as<std::int64_t>() * data.strides[axis];
    out[0].tensor = view(data, shape, strides, shape.elements() == 0 ? 0 : offset);
  }

 private:
  std::int64_t axis_;
  bool strict_;
};

// The axis of GatherElements and ScatterElements, after a check of the shapes.
int elements_axis(std::int64_t given, const Shape& data, const Shape& indices) {
  const int axis = normalize_axis(given, data.rank());
  bool fits = data.rank() == indices.rank();
  for (int other = 0; fits && other < data.rank(); ++other) {
    fits = other == axis || indices[other] <= data[other];
  }
  if (!fits) {
    throw OpError(ErrorKind::kShape,
                  "indices of shape " + describe(indices) + " for data of shape " + describe(data));
  }
  return axis;
}

// Walks indices of GatherElements' form: f(number of the index, offset in data).
template <class F>
void for_each_element(const Tensor& indices, const Shape& data_strides, int axis, F&& f) {
  if (indices.elements() == 0) return;
  const int last = indices.rank() - 1;
  const std::int64_t step = data_strides[axis];
  const std::int64_t n = indices.shape[last];
  Shape strides = data_strides;
  strides[axis] = 0;
  const std::int64_t* places = indices.as<std::int64_t>();
  for_each_outer(indices.shape, 1, std::array{indices.strides, strides},
                 [&](std::int64_t first, std::int64_t offset) {
                   for (std::int64_t i = 0; i < n; ++i) {
                     f(first + i, offset + i * strides[last] + places[first + i] * step);
                   }
                 });
}

class GatherElements {
 public:
  explicit GatherElements(const OpSpec& spec)
      : axis_(spec.attributes.integer("axis", 0)), strict_(strict_ids(spec)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    const int axis = elements_axis(axis_, data.shape, required(in, 1).shape);
    const Tensor indices = checked_indices(context, required(in, 1), data.shape[axis], strict_);
    Tensor result = allocate(context, data.dtype, indices.shape);
    dispatch_size(data.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* x = data.as<T>();
      T* y = result.as<T>();
      for_each_element(indices, data.strides, axis,
                       [&](std::int64_t i, std::int64_t offset) { y[i] = x[offset]; });
    });
    out[0].tensor = std::move(result);
  }

 private:
  std::int64_t axis_;
  bool strict_;
};

// Element offsets that index tuples, the last axis of `indices`, stand for along the axes of
// `data` from `batch` on; the axes before it go in step with those of `indices`.
Tensor tuple_offsets(Context& context, const Tensor& data, const Tensor& indices, int batch,
                     bool strict) {
  const int last = indices.rank() - 1;
  const std::int64_t width = indices.shape[last];
  if (width < 1 || width > data.rank() - batch) {
    throw OpError(ErrorKind::kShape, "index tuples of " + std::to_string(width) +
                                         " for data of shape " + describe(data.shape));
  }
  const Shape tuples = axes_of(indices.shape, 0, last);
  Tensor offsets = allocate(context, DType::kInt64, tuples);
  const std::int64_t n = offsets.elements();
  std::int64_t* y = offsets.as<std::int64_t>();
  Shape steps = tuples;
  for (int axis = 0; axis < last; ++axis) steps[axis] = axis < batch ? data.strides[axis] : 0;
  if (n == 0) return offsets;
  for_each_outer(tuples, 0, std::array{steps}, [&](std::int64_t offset) { *y++ = offset; });
  for (int i = 0; i < width; ++i) {
    const Tensor column =
        view(indices, tuples, axes_of(indices.strides, 0, last), i * indices.strides[last]);
    const Tensor places = checked_indices(context, column, data.shape[batch + i], strict);
    const std::int64_t step = data.strides[batch + i];
    y = offsets.as<std::int64_t>();
    const std::int64_t* place = places.as<std::int64_t>();
    for (std::int64_t j = 0; j < n; ++j) y[j] += place[j] * step;
  }
  return offsets;
}

class GatherND {
 public:
  explicit GatherND(const OpSpec& spec)
      : batch_(spec.attributes.integer("batch_dims", 0)), strict_(strict_ids(spec)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    const Tensor& indices = required(in, 1);
    bool fits = batch_ >= 0 && batch_ < std::min(data.rank(), indices.rank());
    for (int axis = 0; fits && axis < batch_; ++axis) {
      fits = data.shape[axis] == indices.shape[axis];
    }
    if (!fits) {
      throw OpError(ErrorKind::kShape, "batch_dims " + std::to_string(batch_) + " for shapes " +
                                           describe(data.shape) + " and " +
                                           describe(indices.shape));
    }
    const int batch = static_cast<int>(batch_);
    const Tensor offsets = tuple_offsets(context, data, indices, batch, strict_);
    const int first = batch + static_cast<int>(indices.shape[indices.rank() - 1]);
    const Shape inner = axes_of(data.shape, first, data.rank());
    Tensor result = allocate(context, data.dtype, joined(offsets.shape, inner));
    if (result.elements() > 0) {
      const SliceWalk slice(inner, axes_of(data.strides, first, data.rank()));
      dispatch_size(data.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T* to = result.as<T>();
        for (std::int64_t offset : span_of(offsets)) to = slice.copy(data.as<T>() + offset, to);
      });
    }
    out[0].tensor = std::move(result);
  }

 private:
  std::int64_t batch_;
  bool strict_;
};

enum class Combine { kReplace, kAdd, kMultiply, kMax, kMin };

Combine read_combine(const Attributes& attributes) {
  const std::string name = attributes.text("reduction", "none");
  if (name == "none") return Combine::kReplace;
  if (name == "add") return Combine::kAdd;
  if (name == "mul") return Combine::kMultiply;
  if (name == "max") return Combine::kMax;
  if (name == "min") return Combine::kMin;
  throw OpError(ErrorKind::kModel, "unknown reduction " + name);
}

template <class T>
bool is_nan(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    return std::isnan(value);
  } else {
    return false;
  }
}

template <class T>
T combined(Combine how, T a, T b) {
  switch (how) {
    case Combine::kReplace:
      return b;
    case Combine::kAdd:
      if constexpr (std::is_same_v<T, bool>) {
        return a || b;
      } else if constexpr (std::is_integral_v<T>) {
        return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b));
      } else {
        return a + b;
      }
    case Combine::kMultiply:
      if constexpr (std::is_same_v<T, bool>) {
        return a && b;
      } else if constexpr (std::is_integral_v<T>) {
        return wrapping_product(a, b);
      } else {
        return a * b;
      }
    case Combine::kMax:
      return a >= b || is_nan(a) ? a : b;
    case Combine::kMin:
      return a <= b || is_nan(a) ? a : b;
  }
  return b;
}

// A copy of `data` with each row of `width` updates combined in at its offset, in order.
Tensor scatter(Context& context, const Tensor& data, const Tensor& offsets, const Tensor& updates,
               std::int64_t width, Combine how) {
  expect_dtype(updates, data.dtype);
  if (data.dtype == DType::kFloat16 && how != Combine::kReplace) {
    const Tensor wide = scatter(context, cast(context, data, DType::kFloat32), offsets,
                                cast(context, updates, DType::kFloat32), width, how);
    return cast(context, wide, DType::kFloat16);
  }
  Tensor result = allocate(context, data.dtype, data.shape);
  copy_elements(data, result);
  const Tensor source = contiguous(context, updates);
  if (source.elements() == 0) return result;
  if (how == Combine::kReplace) {
    dispatch_size(data.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* from = source.as<T>();
      for (std::int64_t offset : span_of(offsets)) {
        std::copy_n(from, width, result.as<T>() + offset);
        from += width;
      }
    });
    return result;
  }
  dispatch(data.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (!std::is_same_v<T, Half>) {
      const T* from = source.as<T>();
      for (std::int64_t offset : span_of(offsets)) {
        T* to = result.as<T>() + offset;
        for (std::int64_t i = 0; i < width; ++i) to[i] = combined<T>(how, to[i], from[i]);
        from += width;
      }
    }
  });
  return result;
}

void check_updates(const Tensor& updates, const Shape& expected) {
  if (updates.shape == expected) return;
  throw OpError(ErrorKind::kShape,
                "updates of shape " + describe(updates.shape) + ", expected " + describe(expected));
}

class ScatterElements {
 public:
  explicit ScatterElements(const OpSpec& spec)
      : axis_(spec.attributes.integer("axis", 0)),
        strict_(strict_ids(spec)),
        how_(read_combine(spec.attributes)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    const Tensor& updates = required(in, 2);
    const int axis = elements_axis(axis_, data.shape, required(in, 1).shape);
    const Tensor indices = checked_indices(context, required(in, 1), data.shape[axis], strict_);
    check_updates(updates, indices.shape);
    const Tensor offsets = allocate(context, DType::kInt64, indices.shape);
    std::int64_t* y = offsets.as<std::int64_t>();
    for_each_element(indices, contiguous_strides(data.shape), axis,
                     [&](std::int64_t i, std::int64_t offset) { y[i] = offset; });
    out[0].tensor = scatter(context, data, offsets, updates, 1, how_);
  }

 private:
  std::int64_t axis_;
  bool strict_;
  Combine how_;
};

class ScatterND {
 public:
  explicit ScatterND(const OpSpec& spec)
      : strict_(strict_ids(spec)), how_(read_combine(spec.attributes)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    const Tensor& indices = required(in, 1);
    const Tensor& updates = required(in, 2);
    if (data.rank() < 1 || indices.rank() < 1) {
      throw OpError(ErrorKind::kShape, "data or indices of rank 0");
    }
    // The result is contiguous, so offsets are those of a contiguous value.
    const Tensor target = view(data, data.shape, contiguous_strides(data.shape));
    const Tensor offsets = tuple_offsets(context, target, indices, 0, strict_);
    const int first = static_cast<int>(indices.shape[indices.rank() - 1]);
    const Shape inner = axes_of(data.shape, first, data.rank());
    check_updates(updates, joined(offsets.shape, inner));
    out[0].tensor = scatter(context, data, offsets, updates, inner.elements(), how_);
  }

 private:
  bool strict_;
  Combine how_;
};

class OneHot {
 public:
  explicit OneHot(const OpSpec& spec)
      : axis_(spec.attributes.integer("axis", -1)), strict_(strict_ids(spec)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& given = required(in, 0);
    const Tensor& values = required(in, 2);
    const std::int64_t depth = read_integer(required(in, 1));
    const int axis = normalize_axis(axis_, given.rank() + 1);
    if (depth < 0 || values.rank() != 1 || values.shape[0] != 2) {
      throw OpError(ErrorKind::kShape, "expected a depth >= 0 and two values, got " +
                                           std::to_string(depth) + " and " +
                                           describe(values.shape));
    }
    const Shape outer = axes_of(given.shape, 0, axis);
    const Shape inner = axes_of(given.shape, axis, given.rank());
    const Tensor indices = contiguous(context, cast(context, given, DType::kInt64));
    for (std::int64_t i = 0; strict_ && i < indices.elements(); ++i) {
      if (indices.as<std::int64_t>()[i] < 0) {
        refuse_id(outside_table(depth, true), i, count_per_row(indices));
      }
    }
    Tensor result = allocate(context, values.dtype, joined(joined(outer, Shape{depth}), inner));
    if (result.elements() > 0) {
      dispatch_size(values.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const T off = values.as<T>()[0];
        const T on = values.as<T>()[values.strides[0]];
        fill(indices, depth, inner.elements(), off, on,
             std::span(result.as<T>(), static_cast<std::size_t>(result.elements())));
      });
    }
    out[0].tensor = std::move(result);
  }

 private:
  template <class T>
  static void fill(const Tensor& indices, std::int64_t depth, std::int64_t inner, T off, T on,
                   std::span<T> y) {
    in_parts(y.size(), kWatchedElements, [&](std::size_t begin, std::size_t count) {
      std::fill_n(y.data() + begin, count, off);
    });
    const std::int64_t* index = indices.as<std::int64_t>();
    for (std::int64_t i = 0; i < indices.elements(); ++i) {
      const std::int64_t place = index[i] < 0 ? index[i] + depth : index[i];
      if (place < 0 || place >= depth) continue;
      y[static_cast<std::size_t>((i / inner * depth + place) * inner + i % inner)] = on;
    }
  }

  std::int64_t axis_;
  bool strict_;
};

class Compress {
 public:
  explicit Compress(const OpSpec& spec)
      : flat_(!spec.attributes.has("axis")), axis_(spec.attributes.integer("axis", 0)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    Tensor data = required(in, 0);
    const Tensor& condition = required(in, 1);
    expect_dtype(condition, DType::kBool);
    if (flat_) {
      const Shape line{data.elements()};
      data = view(contiguous(context, data), line, Shape{1});
    }
    const int axis = normalize_axis(axis_, data.rank());
    const std::int64_t size = data.shape[axis];
    std::vector<std::int64_t> chosen;
    for (std::int64_t i = 0; condition.rank() == 1 && i < condition.shape[0]; ++i) {
      if (condition.as<bool>()[i * condition.strides[0]]) chosen.push_back(i);
    }
    if (condition.rank() != 1 || (!chosen.empty() && chosen.back() >= size)) {
      throw OpError(ErrorKind::kShape, "a condition of shape " + describe(condition.shape) +
                                           " for " + std::to_string(size) + " entries");
    }
    const auto count = static_cast<std::int64_t>(chosen.size());
    out[0].tensor = take(context, data, axis, chosen, Shape{count});
  }

 private:
  bool flat_;
  std::int64_t axis_;
};

class NonZero {
 public:
  explicit NonZero(const OpSpec&) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor data = contiguous(context, required(in, 0));
    dispatch(data.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const T* x = data.as<T>();
      std::int64_t count = 0;
      for (std::int64_t i = 0; i < data.elements(); ++i) count += convert_element<bool>(x[i]);
      out[0].tensor = allocate(context, DType::kInt64, Shape{data.rank(), count});
      if (count > 0 && data.rank() > 0)
        list(x, data.shape, count, out[0].tensor.as<std::int64_t>());
    });
  }

 private:
  // Writes a row of `count` places for each axis.
  template <class T>
  static void list(const T* x, const Shape& shape, std::int64_t count, std::int64_t* places) {
    const int last = shape.rank() - 1;
    Shape at;  // of the current line along the last axis
    for (int axis = 0; axis < last; ++axis) at.push_back(0);
    for (std::int64_t found = 0; found < count; x += shape[last]) {
      for (std::int64_t i = 0; i < shape[last]; ++i) {
        if (!convert_element<bool>(x[i])) continue;
        for (int axis = 0; axis < last; ++axis) places[axis * count + found] = at[axis];
        places[last * count + found] = i;
        ++found;
      }
      for (int axis = last - 1; axis >= 0 && ++at[axis] == shape[axis]; --axis) at[axis] = 0;
    }
  }
};

class Unique {
 public:
  explicit Unique(const OpSpec& spec)
      : flat_(!spec.attributes.has("axis")),
        axis_(spec.attributes.integer("axis", 0)),
        sorted_(spec.attributes.integer("sorted", 1) != 0) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    Tensor data = required(in, 0);
    if (flat_) {
      const Shape line{data.elements()};
      data = view(contiguous(context, data), line, Shape{1});
    }
    const int axis = normalize_axis(axis_, data.rank());
    const Groups groups = group(context, data, axis);
    const auto count = static_cast<std::int64_t>(groups.first.size());
    out[0].tensor = take(context, data, axis, groups.first, Shape{count});
    const std::vector<std::int64_t>* const rest[] = {&groups.first, &groups.inverse,
                                                     &groups.counts};
    for (std::size_t i = 1; i < std::min<std::size_t>(out.size(), 4); ++i) {
      const std::vector<std::int64_t>& items = *rest[i - 1];
      Tensor made =
          allocate(context, DType::kInt64, Shape{static_cast<std::int64_t>(items.size())});
      std::copy(items.begin(), items.end(), made.as<std::int64_t>());
      out[i].tensor = std::move(made);
    }
  }

 private:
  struct Groups {
    std::vector<std::int64_t> first;    // first occurrence of each value
    std::vector<std::int64_t> inverse;  // for each item the number of its value
    std::vector<std::int64_t> counts;
  };

  // -1, 0 or 1; NaNs are one value and the greatest.
  template <class T>
  static int compare(const T* a, const T* b, std::int64_t n) {
    for (std::int64_t i = 0; i < n; ++i) {
      const bool less = a[i] < b[i] || (is_nan(b[i]) && !is_nan(a[i]));
      const bool more = b[i] < a[i] || (is_nan(a[i]) && !is_nan(b[i]));
      if (less || more) return less ? -1 : 1;
    }
    return 0;
  }

  Groups group(Context& context, const Tensor& data, int axis) const {
    Shape shape{data.shape[axis]};
    Shape strides{data.strides[axis]};
    for (int other = 0; other < data.rank(); ++other) {
      if (other == axis) continue;
      shape.push_back(data.shape[other]);
      strides.push_back(data.strides[other]);
    }
    Tensor items = contiguous(context, view(data, shape, strides));
    if (items.dtype == DType::kFloat16) items = cast(context, items, DType::kFloat32);
    const std::int64_t width = shape.product(1, shape.rank());
    return dispatch(items.dtype, [&](auto tag) -> Groups {
      using T = typename decltype(tag)::type;
      if constexpr (std::is_same_v<T, Half>) {
        refuse_dtype(items.dtype);
      } else {
        return group_rows(items.as<T>(), shape[0], width);
      }
    });
  }

  template <class T>
  Groups group_rows(const T* x, std::int64_t rows, std::int64_t width) const {
    std::vector<std::int64_t> order(static_cast<std::size_t>(rows));
    std::iota(order.begin(), order.end(), 0);
    const auto compared = [&](std::int64_t a, std::int64_t b) {
      return compare(x + a * width, x + b * width, width);
    };
    std::stable_sort(order.begin(), order.end(),
                     [&](std::int64_t a, std::int64_t b) { return compared(a, b) < 0; });
    Groups groups;
    groups.inverse.resize(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (i == 0 || compared(order[i - 1], order[i]) != 0) {
        groups.first.push_back(order[i]);
        groups.counts.push_back(0);
      }
      ++groups.counts.back();
      groups.inverse[static_cast<std::size_t>(order[i])] =
          static_cast<std::int64_t>(groups.first.size()) - 1;
    }
    if (!sorted_) by_occurrence(groups);
    return groups;
  }

  static void by_occurrence(Groups& groups) {
    std::vector<std::size_t> order(groups.first.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [&](std::size_t a, std::size_t b) { return groups.first[a] < groups.first[b]; });
    Groups sorted;
    std::vector<std::int64_t> number(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      sorted.first.push_back(groups.first[order[i]]);
      sorted.counts.push_back(groups.counts[order[i]]);
      number[order[i]] = static_cast<std::int64_t>(i);
    }
    for (std::int64_t group : groups.inverse) {
      sorted.inverse.push_back(number[static_cast<std::size_t>(group)]);
    }
    groups = std::move(sorted);
  }

  bool flat_;
  std::int64_t axis_;
  bool sorted_;
};

constexpr OpEntry kOps[] = {
    {"Gather", make_op<Gather>},       {"GatherElements", make_op<GatherElements>},
    {"GatherND", make_op<GatherND>},   {"ScatterElements", make_op<ScatterElements>},
    {"ScatterND", make_op<ScatterND>}, {"OneHot", make_op<OneHot>},
    {"Compress", make_op<Compress>},   {"NonZero", make_op<NonZero>},
    {"Unique", make_op<Unique>},
};

}  // namespace

std::span<const OpEntry> indexing_ops() { return kOps; }

}  // namespace pyrec
