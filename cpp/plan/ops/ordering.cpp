#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/watch.h"
#include "plan/op_list.h"
#include "plan/ops/elementwise.h"
#include "plan/tensor_tools.h"
#include "selection/top_k.h"

namespace pyrec {

namespace {

// A total order: NaN is one value and the greatest.
template <class T>
bool precedes(T a, T b) {
  if constexpr (std::is_same_v<T, Half>) {
    return precedes(static_cast<float>(a), static_cast<float>(b));
  } else if constexpr (std::is_floating_point_v<T>) {
    return a < b || (std::isnan(b) && !std::isnan(a));
  } else {
    return a < b;
  }
}

// Whether one element of a line precedes another. What sorts is compiled for this once, and not for
// each type of elements.
using Precedes = bool (*)(const std::byte* line, std::int64_t a, std::int64_t b);

Precedes order_of(DType dtype) {
  return dispatch(dtype, [](auto tag) -> Precedes {
    using T = typename decltype(tag)::type;
    return [](const std::byte* line, std::int64_t a, std::int64_t b) {
      const T* x = reinterpret_cast<const T*>(line);
      return precedes(x[a], x[b]);
    };
  });
}

// Elements that lie `step` apart, put one after the other.
void gather_line(DType dtype, const std::byte* from, std::int64_t step, std::int64_t count,
                 std::byte* to) {
  dispatch_size(dtype, [&](auto tag) {
    constexpr auto kSize = static_cast<std::int64_t>(sizeof(typename decltype(tag)::type));
    for (std::int64_t i = 0; i < count; ++i) {
      std::memcpy(to + i * kSize, from + i * step * kSize, static_cast<std::size_t>(kSize));
    }
  });
}

Shape without_axis(const Shape& shape, int axis) {
  Shape result;
  for (int other = 0; other < shape.rank(); ++other) {
    if (other != axis) result.push_back(shape[other]);
  }
  return result;
}

// Lines of at most this size are put in order by comparing each element with each, many lines at a
// time.
constexpr std::int64_t kShortLine = 32;
constexpr std::int64_t kLanes = 64;
constexpr std::int64_t kFewLines = 8;

// An integer that orders a number as `precedes` does; false if there is none of 32 bits.
template <class T>
bool order_key(T x, std::int32_t& key) {
  if constexpr (std::is_same_v<T, Half>) {
    return order_key(static_cast<float>(x), key);
  } else if constexpr (std::is_same_v<T, float>) {
    const float equal = x + 0.0F;  // both zeros are one number
    std::memcpy(&key, &equal, sizeof key);
    key ^= (key >> 31) & 0x7fffffff;
    if (std::isnan(x)) key = std::numeric_limits<std::int32_t>::max();
    return true;
  } else if constexpr (std::is_integral_v<T>) {
    key = static_cast<std::int32_t>(x);
    return std::in_range<std::int32_t>(
        static_cast<std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, T>>(x));
  } else {
    return false;
  }
}

// Short lines side by side: element i of line l is at i * kLanes + l.
struct ShortLines {
  std::array<std::int32_t, kShortLine * kLanes> keys{};
  std::array<std::int32_t, kShortLine * kLanes> ranks{};

  // How many elements of each line come before each: those with a greater key, and equal ones in
  // front of it.
  void rank(std::int64_t size) {
    for (std::int64_t i = 0; i < size; ++i) {
      std::array<std::int32_t, kLanes> own;
      std::array<std::int32_t, kLanes> before{};
      std::copy_n(keys.begin() + i * kLanes, kLanes, own.begin());
      for (std::int64_t j = 0; j < size; ++j) {
        const std::int32_t* other = keys.data() + j * kLanes;
        if (j < i) {
          for (std::int64_t l = 0; l < kLanes; ++l) before[l] += other[l] >= own[l] ? 1 : 0;
        } else {
          for (std::int64_t l = 0; l < kLanes; ++l) before[l] += other[l] > own[l] ? 1 : 0;
        }
      }
      std::copy_n(before.begin(), kLanes, ranks.begin() + i * kLanes);
    }
  }
};

// Reads lines that begin at these offsets; false if an element has no key. The greatest keys come
// first: `smallest` turns their order over.
using ReadLines = bool (*)(const std::byte* data, std::span<const std::int64_t> begins,
                           std::int64_t step, std::int64_t size, bool smallest, std::int32_t* keys);

ReadLines reader_of(DType dtype) {
  return dispatch(dtype, [](auto tag) -> ReadLines {
    using T = typename decltype(tag)::type;
    return [](const std::byte* data, std::span<const std::int64_t> begins, std::int64_t step,
              std::int64_t size, bool smallest, std::int32_t* keys) {
      bool all = true;
      for (std::size_t l = 0; l < begins.size(); ++l) {
        const T* x = reinterpret_cast<const T*>(data) + begins[l];
        for (std::int64_t i = 0; i < size; ++i) {
          std::int32_t key = 0;
          all &= order_key(x[i * step], key);
          keys[i * kLanes + static_cast<std::int64_t>(l)] = smallest ? ~key : key;
        }
      }
      return all;
    };
  });
}

class TopK {
 public:
  explicit TopK(const OpSpec& spec)
      : axis_(spec.attributes.integer("axis", -1)),
        largest_(spec.attributes.integer("largest", 1) != 0) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    const int axis = normalize_axis(axis_, data.rank());
    const std::int64_t k = read_integer(required(in, 1));
    const std::int64_t size = data.shape[axis];
    if (k < 0 || k > size) {
      throw OpError(ErrorKind::kShape,
                    "k is " + std::to_string(k) + " for an axis of size " + std::to_string(size));
    }
    Shape shape = data.shape;
    shape[axis] = k;
    Tensor values = allocate(context, data.dtype, shape);
    Tensor indices = allocate(context, DType::kInt64, shape);
    if (values.elements() > 0 && !select_short(data, axis, k, values, indices)) {
      select(context, data, axis, k, values, indices);
    }
    if (out.size() > 1) out[1].tensor = std::move(indices);
    out[0].tensor = std::move(values);
  }

 private:
  // Of many short lines; false where there are not many, or some element has no key.
  bool select_short(const Tensor& data, int axis, std::int64_t k, const Tensor& values,
                    const Tensor& indices) const {
    const std::int64_t size = data.shape[axis];
    if (size > kShortLine || values.elements() < kFewLines * k) return false;
    const ReadLines read = reader_of(data.dtype);
    const std::int64_t step = data.strides[axis];
    const std::int64_t out_step = values.strides[axis];
    std::array<std::int64_t, kLanes> from;
    std::array<std::int64_t, kLanes> to;
    std::size_t lines = 0;
    bool all = true;
    ShortLines block;
    const auto order = [&] {
      all = all && read(data.data, {from.data(), lines}, step, size, !largest_, block.keys.data());
      if (!all) return;
      block.rank(size);
      dispatch_size(data.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        std::array<std::int32_t, kShortLine> places;
        for (std::size_t l = 0; l < lines; ++l) {
          for (std::int64_t i = 0; i < size; ++i) {
            places[block.ranks[i * kLanes + static_cast<std::int64_t>(l)]] =
                static_cast<std::int32_t>(i);
          }
          const T* x = data.as<T>() + from[l];
          T* y = values.as<T>() + to[l];
          std::int64_t* found = indices.as<std::int64_t>() + to[l];
          for (std::int64_t r = 0; r < k; ++r) {
            y[r * out_step] = x[places[r] * step];
            found[r * out_step] = places[r];
          }
        }
      });
      lines = 0;
    };
    const std::array strides{without_axis(data.strides, axis), without_axis(values.strides, axis)};
    for_each_outer(without_axis(values.shape, axis), 0, strides,
                   [&](std::int64_t begin, std::int64_t end) {
                     if (!all) return;
                     from[lines] = begin;
                     to[lines] = end;
                     if (++lines == kLanes) order();
                   });
    if (lines > 0) order();
    return all;
  }

  void select(Context& context, const Tensor& data, int axis, std::int64_t k, const Tensor& values,
              const Tensor& indices) const {
    const auto bytes = static_cast<std::int64_t>(item_size(data.dtype));
    const Precedes order = order_of(data.dtype);
    const std::int64_t step = data.strides[axis];
    const std::int64_t out_step = values.strides[axis];
    const std::int64_t size = data.shape[axis];
    const Tensor line = allocate(context, data.dtype, {step == 1 ? 0 : size});
    const std::array strides{without_axis(data.strides, axis), without_axis(values.strides, axis)};
    const auto take = [&](std::int64_t from, std::int64_t to) {
      const std::byte* x = data.data + from * bytes;
      if (step != 1) {
        gather_line(data.dtype, x, step, size, line.data);
        x = line.data;
      }
      const std::vector<std::int64_t> places =
          data.dtype == DType::kFloat32
              ? first_floats(context.kernels,
                             {reinterpret_cast<const float*>(x), static_cast<std::size_t>(size)}, k)
              : first_places(order, x, size, k);
      for (const std::int64_t place : places) {
        std::memcpy(values.data + to * bytes, x + place * bytes, static_cast<std::size_t>(bytes));
        indices.as<std::int64_t>()[to] = place;
        to += out_step;
      }
    };
    for_each_outer(without_axis(values.shape, axis), 0, strides, take);
  }

  std::vector<std::int64_t> first_floats(const Kernels& kernels, std::span<const float> x,
                                         std::int64_t k) const {
    constexpr std::size_t kBlock = 1024;
    if (!largest_) {
      std::vector<float> negated(x.size());
      std::ranges::transform(x, negated.begin(), std::negate<>{});
      return top_k(kernels, negated, k);
    }
    // NaN is the greatest here and the last there.
    std::vector<std::int64_t> places;
    for (std::size_t begin = 0; begin < x.size(); begin += kBlock) {
      const auto block = x.subspan(begin, std::min(kBlock, x.size() - begin));
      const bool any = std::isnan(kernels.max_f32(block.data(), block.size()));
      for (std::size_t i = 0; any && i < block.size(); ++i) {
        if (std::isnan(block[i]) && static_cast<std::int64_t>(places.size()) < k) {
          places.push_back(static_cast<std::int64_t>(begin + i));
        }
      }
    }
    const std::vector<std::int64_t> numbers =
        top_k(kernels, x, k - static_cast<std::int64_t>(places.size()));
    places.insert(places.end(), numbers.begin(), numbers.end());
    return places;
  }

  // Any other type: places that may be among the first, put in order when there are many.
  std::vector<std::int64_t> first_places(Precedes order, const std::byte* x, std::int64_t size,
                                         std::int64_t k) const {
    const auto first = [this, order, x](std::int64_t a, std::int64_t b) {
      if (order(x, a, b)) return !largest_;
      if (order(x, b, a)) return largest_;
      return a < b;
    };
    std::vector<std::int64_t> found;
    if (k == 0) return found;
    const std::size_t room = 2 * static_cast<std::size_t>(k) + 1024;
    const auto last = [&] { return found.begin() + (k - 1); };
    std::int64_t bound = -1;  // the last of the k first so far
    in_parts(static_cast<std::size_t>(size), kWatchedElements,
             [&](std::size_t begin, std::size_t count) {
               for (std::size_t i = begin; i < begin + count; ++i) {
                 const auto place = static_cast<std::int64_t>(i);
                 if (bound >= 0 && !first(place, bound)) continue;
                 found.push_back(place);
                 if (found.size() < room) continue;
                 std::nth_element(found.begin(), last(), found.end(), first);
                 found.resize(static_cast<std::size_t>(k));
                 bound = found.back();
               }
             });
    std::nth_element(found.begin(), last(), found.end(), first);
    found.resize(static_cast<std::size_t>(k));
    std::ranges::sort(found, first);
    return found;
  }

  std::int64_t axis_;
  bool largest_;
};

class CumSum {
 public:
  explicit CumSum(const OpSpec& spec)
      : exclusive_(spec.attributes.integer("exclusive", 0) != 0),
        reverse_(spec.attributes.integer("reverse", 0) != 0) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    const int axis = normalize_axis(read_integer(required(in, 1)), data.rank());
    if (data.dtype == DType::kFloat16) {
      const Tensor wide = cast(context, data, DType::kFloat32);
      out[0].tensor = cast(context, sums(context, wide, axis), DType::kFloat16);
    } else {
      out[0].tensor = sums(context, data, axis);
    }
  }

 private:
  Tensor sums(Context& context, const Tensor& given, int axis) const {
    const Tensor data = contiguous(context, given);
    Tensor result = allocate(context, data.dtype, data.shape);
    if (data.elements() == 0) return result;
    const std::int64_t outer = data.shape.product(0, axis);
    const std::int64_t size = data.shape[axis];
    const std::int64_t inner = data.shape.product(axis + 1, data.rank());
    dispatch(data.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      if constexpr (kIsNumeric<T>) {
        for (std::int64_t i = 0; i < outer; ++i) {
          accumulate(context, data.as<T>() + i * size * inner, size, inner,
                     result.as<T>() + i * size * inner);
        }
      } else {
        refuse_dtype(data.dtype);
      }
    });
    return result;
  }

  template <class T>
  void accumulate(Context& context, const T* x, std::int64_t size, std::int64_t inner, T* y) const {
    const auto row = [&](std::int64_t i) { return (reverse_ ? size - 1 - i : i) * inner; };
    if (exclusive_) {
      std::fill_n(y + row(0), inner, T{0});
    } else {
      std::copy_n(x + row(0), inner, y + row(0));
    }
    for (std::int64_t i = 1; i < size; ++i) {
      const T* before = y + row(i - 1);
      const T* term = x + row(exclusive_ ? i - 1 : i);
      T* sum = y + row(i);
      if constexpr (std::is_same_v<T, float>) {
        if (inner > 1) {
          context.kernels.add_f32(before, 1, term, 1, sum, static_cast<std::size_t>(inner));
          continue;
        }
      }
      for (std::int64_t j = 0; j < inner; ++j) {
        if constexpr (std::is_integral_v<T>) {
          using U = Wrapping<T>;
          sum[j] = static_cast<T>(static_cast<U>(before[j]) + static_cast<U>(term[j]));
        } else {
          sum[j] = before[j] + term[j];
        }
      }
    }
  }

  bool exclusive_;
  bool reverse_;
};

// ArgMax or ArgMin; NaN wins over everything, as in NumPy.
template <bool kMax>
class ArgExtreme {
 public:
  explicit ArgExtreme(const OpSpec& spec)
      : axis_(spec.attributes.integer("axis", 0)),
        keep_(spec.attributes.integer("keepdims", 1) != 0),
        last_(spec.attributes.integer("select_last_index", 0) != 0) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    const int axis = normalize_axis(axis_, data.rank());
    if (data.shape[axis] == 0) throw OpError(ErrorKind::kShape, "an axis of size 0");
    Shape shape = data.shape;
    shape[axis] = 1;
    const Shape lines = without_axis(data.shape, axis);
    Tensor result = allocate(context, DType::kInt64, keep_ ? shape : lines);
    std::int64_t* y = result.as<std::int64_t>();
    const Best best = best_of(data.dtype);
    for_each_outer(
        lines, 0, std::array{without_axis(data.strides, axis)}, [&](std::int64_t offset) {
          const auto bytes = static_cast<std::int64_t>(item_size(data.dtype));
          *y++ = best(data.data + offset * bytes, data.strides[axis], data.shape[axis], last_);
        });
    out[0].tensor = std::move(result);
  }

 private:
  // The place of the best of `size` elements that lie `step` apart.
  using Best = std::int64_t (*)(const std::byte* line, std::int64_t step, std::int64_t size,
                                bool last);

  static Best best_of(DType dtype) {
    return dispatch(dtype, [](auto tag) -> Best { return best<typename decltype(tag)::type>; });
  }

  template <class T>
  static bool better(T a, T b) {
    if constexpr (std::is_same_v<T, Half>) {
      return better(static_cast<float>(a), static_cast<float>(b));
    } else {
      if constexpr (std::is_floating_point_v<T>) {
        if (std::isnan(a) || std::isnan(b)) return !std::isnan(b);
      }
      return kMax ? b < a : a < b;
    }
  }

  template <class T>
  static std::int64_t best(const std::byte* line, std::int64_t step, std::int64_t size, bool last) {
    const T* x = reinterpret_cast<const T*>(line);
    std::int64_t found = 0;
    for (std::int64_t i = 1; i < size; ++i) {
      const T candidate = x[i * step];
      const T holder = x[found * step];
      if (last ? !better(holder, candidate) : better(candidate, holder)) found = i;
    }
    return found;
  }

  std::int64_t axis_;
  bool keep_;
  bool last_;
};

constexpr OpEntry kOps[] = {
    {"TopK", make_op<TopK>},
    {"CumSum", make_op<CumSum>},
    {"ArgMax", make_op<ArgExtreme<true>>},
    {"ArgMin", make_op<ArgExtreme<false>>},
};

}  // namespace

std::span<const OpEntry> ordering_ops() { return kOps; }

}  // namespace pyrec
