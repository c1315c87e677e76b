#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/elementwise.h"
#include "plan/ops/take.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

Shape to_shape(const std::vector<std::int64_t>& sizes) {
  Shape shape;
  for (std::int64_t size : sizes) shape.push_back(size);
  checked_elements(shape);
  return shape;
}

std::string describe(const std::vector<std::int64_t>& items) {
  std::string text = "[";
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(items[i]);
  }
  return text + "]";
}

// A part of a tensor; the offset of an empty part may lie outside the memory and is not used.
Tensor part(const Tensor& tensor, const Shape& shape, const Shape& strides, std::int64_t offset) {
  return view(tensor, shape, strides, shape.elements() == 0 ? 0 : offset);
}

// `count` positions of an axis from `start` on.
Tensor range_of(const Tensor& tensor, int axis, std::int64_t start, std::int64_t count) {
  Shape shape = tensor.shape;
  shape[axis] = count;
  return part(tensor, shape, tensor.strides, start * tensor.strides[axis]);
}

// A tensor as [outer, size of the axis, inner].
Shape around_axis(const Shape& shape, int axis) {
  return Shape{shape.product(0, axis), shape[axis], shape.product(axis + 1, shape.rank())};
}

class Concat {
 public:
  explicit Concat(const OpSpec& spec) : axis_(spec.attributes.integer("axis", 0)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& first = required(in, 0);
    const int axis = normalize_axis(axis_, first.rank());
    if (in.size() == 1) {
      out[0].tensor = first;
      return;
    }
    Shape shape = first.shape;
    shape[axis] = 0;
    for (std::size_t i = 0; i < in.size(); ++i) {
      const Tensor& tensor = required(in, i);
      expect_dtype(tensor, first.dtype);
      bool fits = tensor.rank() == shape.rank();
      for (int other = 0; fits && other < shape.rank(); ++other) {
        fits = other == axis || tensor.shape[other] == shape[other];
      }
      if (!fits) {
        throw OpError(ErrorKind::kShape, "input " + std::to_string(i) + " has shape " +
                                             pyrec::describe(tensor.shape) + ", input 0 " +
                                             pyrec::describe(first.shape));
      }
      shape[axis] += tensor.shape[axis];
    }
    Tensor joined = allocate(context, first.dtype, shape);
    std::int64_t start = 0;
    for (const Value* value : in) {
      const std::int64_t count = value->tensor.shape[axis];
      copy_elements(value->tensor, range_of(joined, axis, start, count));
      start += count;
    }
    out[0].tensor = std::move(joined);
  }

 private:
  std::int64_t axis_;
};

class Split {
 public:
  explicit Split(const OpSpec& spec)
      : axis_(spec.attributes.integer("axis", 0)),
        count_(spec.attributes.integer("num_outputs", static_cast<std::int64_t>(spec.outputs))) {}

  void run(Context&, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    const int axis = normalize_axis(axis_, data.rank());
    const std::int64_t size = data.shape[axis];
    const Tensor* split = optional(in, 1);
    std::vector<std::int64_t> sizes;
    if (split) {
      sizes = read_integers(*split);
    } else if (count_ == static_cast<std::int64_t>(out.size())) {
      const std::int64_t chunk = (size + count_ - 1) / count_;
      for (std::int64_t i = 0; i < count_; ++i) {
        sizes.push_back(std::clamp<std::int64_t>(size - chunk * i, 0, chunk));
      }
    }
    std::int64_t rest = size;
    bool fits = sizes.size() == out.size();
    for (std::int64_t count : sizes) {
      fits = fits && count >= 0 && count <= rest;
      if (fits) rest -= count;
    }
    if (!fits || rest != 0) {
      throw OpError(ErrorKind::kShape, "an axis of size " + std::to_string(size) +
                                           " does not split into " + describe(sizes) + " for " +
                                           std::to_string(out.size()) + " outputs");
    }
    std::int64_t start = 0;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      out[i].tensor = range_of(data, axis, start, sizes[i]);
      start += sizes[i];
    }
  }

 private:
  std::int64_t axis_;
  std::int64_t count_;
};

class Slice {
 public:
  explicit Slice(const OpSpec&) {}

  void run(Context&, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    const std::vector<std::int64_t> starts = read_integers(required(in, 1));
    const std::vector<std::int64_t> ends = read_integers(required(in, 2));
    const Tensor* given_axes = optional(in, 3);
    const Tensor* given_steps = optional(in, 4);
    std::vector<std::int64_t> axes;
    if (given_axes) axes = read_integers(*given_axes);
    for (std::size_t i = 0; !given_axes && i < starts.size(); ++i) {
      axes.push_back(static_cast<std::int64_t>(i));
    }
    const std::vector<std::int64_t> steps =
        given_steps ? read_integers(*given_steps) : std::vector<std::int64_t>(starts.size(), 1);
    if (ends.size() != starts.size() || axes.size() != starts.size() ||
        steps.size() != starts.size()) {
      throw OpError(ErrorKind::kShape, "starts, ends, axes and steps differ in length");
    }
    Shape shape = data.shape;
    Shape strides = data.strides;
    std::int64_t offset = 0;
    std::array<bool, kMaxRank> seen{};
    for (std::size_t i = 0; i < starts.size(); ++i) {
      const int axis = normalize_axis(axes[i], data.rank());
      bool& again = seen[static_cast<std::size_t>(axis)];
      if (again) throw OpError(ErrorKind::kShape, "axis " + std::to_string(axis) + " named twice");
      again = true;
      if (steps[i] == 0) throw OpError(ErrorKind::kShape, "a step of 0");
      const auto [start, count] = bounds(starts[i], ends[i], steps[i], data.shape[axis]);
      shape[axis] = count;
      offset += start * data.strides[axis];
      // With one position left the step is never taken and may be too big to multiply.
      if (count > 1) strides[axis] *= steps[i];
    }
    out[0].tensor = part(data, shape, strides, offset);
  }

 private:
  // First position and number of positions, clamped as ONNX says.
  static std::pair<std::int64_t, std::int64_t> bounds(std::int64_t start, std::int64_t end,
                                                      std::int64_t step, std::int64_t size) {
    if (size == 0) return {0, 0};
    if (start < 0) start += size;
    if (end < 0) end += size;
    const bool forward = step > 0;
    start = std::clamp<std::int64_t>(start, 0, forward ? size : size - 1);
    end = forward ? std::clamp<std::int64_t>(end, 0, size)
                  : std::clamp<std::int64_t>(end, -1, size - 1);
    const std::int64_t distance = forward ? end - start : start - end;
    if (distance <= 0) return {start, 0};
    const std::uint64_t stride = forward ? static_cast<std::uint64_t>(step)
                                         : std::uint64_t{0} - static_cast<std::uint64_t>(step);
    return {start,
            static_cast<std::int64_t>((static_cast<std::uint64_t>(distance) - 1) / stride) + 1};
  }
};

class Tile {
 public:
  explicit Tile(const OpSpec&) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    const std::vector<std::int64_t> repeats = read_integers(required(in, 1));
    if (repeats.size() != static_cast<std::size_t>(data.rank())) {
      throw OpError(ErrorKind::kShape, std::to_string(repeats.size()) +
                                           " repeats of a value of rank " +
                                           std::to_string(data.rank()));
    }
    Shape shape = data.shape;
    for (int axis = 0; axis < data.rank(); ++axis) {
      const std::int64_t repeat = repeats[static_cast<std::size_t>(axis)];
      if (repeat < 0 || __builtin_mul_overflow(shape[axis], repeat, &shape[axis])) {
        throw OpError(ErrorKind::kShape, "repeats " + describe(repeats) + " are not valid");
      }
    }
    if (checked_elements(shape) == 0) {
      out[0].tensor = allocate(context, data.dtype, shape);
      return;
    }
    Tensor tensor = data;
    // Inner axes first, so that the outer repeats copy long runs.
    for (int axis = data.rank() - 1; axis >= 0; --axis) {
      const std::int64_t repeat = repeats[static_cast<std::size_t>(axis)];
      if (repeat > 1) tensor = repeated(context, tensor, axis, repeat);
    }
    out[0].tensor = std::move(tensor);
  }

 private:
  static Tensor repeated(Context& context, const Tensor& tensor, int axis, std::int64_t repeat) {
    const Tensor source = contiguous(context, tensor);
    Shape shape = tensor.shape;
    const Shape three = around_axis(shape, axis);
    shape[axis] *= repeat;
    Tensor result = allocate(context, tensor.dtype, shape);
    const std::int64_t block = three[1] * three[2];
    const Shape paired{three[0], repeat, block};
    copy_elements(view(source, paired, Shape{block, 0, 1}),
                  view(result, paired, contiguous_strides(paired)));
    return result;
  }
};

class Expand {
 public:
  explicit Expand(const OpSpec&) {}

  void run(Context&, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    const Shape target = broadcast_shapes(data.shape, to_shape(read_integers(required(in, 1))));
    checked_elements(target);
    out[0].tensor = broadcast_to(data, target);
  }
};

void fill(const Tensor& tensor, const Tensor* value) {
  const auto count = static_cast<std::size_t>(tensor.elements());
  dispatch_size(tensor.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T element = value ? *value->as<T>() : T{};
    in_parts(count, kWatchedElements, [&](std::size_t begin, std::size_t part) {
      std::fill_n(tensor.as<T>() + begin, part, element);
    });
  });
}

class Pad {
 public:
  explicit Pad(const OpSpec& spec) {
    const std::string mode = spec.attributes.text("mode", "constant");
    if (mode == "constant") {
      mode_ = Mode::kConstant;
    } else if (mode == "edge") {
      mode_ = Mode::kEdge;
    } else if (mode == "reflect") {
      mode_ = Mode::kReflect;
    } else if (mode == "wrap") {
      mode_ = Mode::kWrap;
    } else {
      throw OpError(ErrorKind::kModel, "unknown mode " + mode);
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    const Tensor* value = optional(in, 2);
    if (value) {
      expect_dtype(*value, data.dtype);
      if (value->elements() != 1) {
        throw OpError(ErrorKind::kShape,
                      "expected one constant_value, got " + pyrec::describe(value->shape));
      }
    }
    Shape before;
    Shape after;
    for (int axis = 0; axis < data.rank(); ++axis) {
      before.push_back(0);
      after.push_back(0);
    }
    read_pads(read_integers(required(in, 1)), optional(in, 3), before, after);
    Shape shape = data.shape;
    Tensor kept = data;
    for (int axis = 0; axis < data.rank(); ++axis) {
      const std::int64_t size = data.shape[axis];
      shape[axis] = size + before[axis] + after[axis];
      const std::int64_t low = std::clamp<std::int64_t>(-before[axis], 0, size);
      const std::int64_t high = std::max(size - std::max<std::int64_t>(-after[axis], 0), low);
      kept = range_of(kept, axis, low, high - low);
      // What is cut off is no longer there to be padded away.
      before[axis] += low;
    }
    checked_elements(shape);
    if (mode_ == Mode::kConstant) {
      Tensor padded = allocate(context, data.dtype, shape);
      fill(padded, value);
      std::int64_t offset = 0;
      for (int axis = 0; axis < data.rank(); ++axis) offset += before[axis] * padded.strides[axis];
      copy_elements(kept, part(padded, kept.shape, padded.strides, offset));
      out[0].tensor = std::move(padded);
      return;
    }
    for (int axis = 0; axis < data.rank(); ++axis) {
      if (shape[axis] == kept.shape[axis]) continue;
      const std::vector<std::int64_t> index = sources(shape[axis], before[axis], kept.shape[axis]);
      kept = take(context, kept, axis, index, Shape{shape[axis]});
    }
    out[0].tensor = std::move(kept);
  }

 private:
  enum class Mode { kConstant, kEdge, kReflect, kWrap };

  static void read_pads(const std::vector<std::int64_t>& pads, const Tensor* axes, Shape& before,
                        Shape& after) {
    constexpr std::int64_t kMaxPad = std::int64_t{1} << 48;
    std::vector<std::int64_t> numbers;
    if (axes) numbers = read_integers(*axes);
    for (int axis = 0; !axes && axis < before.rank(); ++axis) numbers.push_back(axis);
    const std::size_t count = numbers.size();
    if (pads.size() != 2 * count) {
      throw OpError(ErrorKind::kShape,
                    std::to_string(pads.size()) + " pads for " + std::to_string(count) + " axes");
    }
    std::array<bool, kMaxRank> seen{};
    for (std::size_t i = 0; i < count; ++i) {
      const int axis = normalize_axis(numbers[i], before.rank());
      const std::int64_t first = pads[i];
      const std::int64_t last = pads[i + count];
      if (std::exchange(seen[static_cast<std::size_t>(axis)], true) ||
          std::min(first, last) < -kMaxPad || std::max(first, last) > kMaxPad) {
        throw OpError(ErrorKind::kShape, "pads " + describe(pads) + " are not valid");
      }
      before[axis] = first;
      after[axis] = last;
    }
  }

  // For each of `count` positions its source in an axis of `size` that starts at `start`.
  std::vector<std::int64_t> sources(std::int64_t count, std::int64_t start,
                                    std::int64_t size) const {
    if (size == 0 && count > 0)
      throw OpError(ErrorKind::kShape, "nothing to pad an empty axis with");
    std::vector<std::int64_t> index(static_cast<std::size_t>(count));
    const std::int64_t period =
        mode_ == Mode::kReflect ? std::max<std::int64_t>(2 * (size - 1), 1) : size;
    for (std::int64_t i = 0; i < count; ++i) {
      std::int64_t position = i - start;
      if (mode_ == Mode::kEdge) {
        position = std::clamp<std::int64_t>(position, 0, size - 1);
      } else {
        position = ((position % period) + period) % period;
        if (mode_ == Mode::kReflect && position >= size) position = period - position;
      }
      index[static_cast<std::size_t>(i)] = position;
    }
    return index;
  }

  Mode mode_;
};

class ConstantOfShape {
 public:
  explicit ConstantOfShape(const OpSpec& spec) {
    memory_ = std::make_unique<std::byte[]>(8);
    value_.data = memory_.get();
    if (const Tensor* value = spec.attributes.tensor("value")) {
      if (value->elements() != 1) {
        throw OpError(ErrorKind::kModel,
                      "expected a value of one element, got " + pyrec::describe(value->shape));
      }
      value_.dtype = value->dtype;
      std::memcpy(value_.data, value->data, item_size(value->dtype));
    }
  }

  void run(Context&, std::span<const Value* const> in, std::span<Value> out) const {
    out[0].tensor = broadcast_to(value_, to_shape(read_integers(required(in, 0))));
  }

 private:
  std::unique_ptr<std::byte[]> memory_;
  Tensor value_;
};

class Range {
 public:
  explicit Range(const OpSpec&) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& start = required(in, 0);
    for (std::size_t i = 0; i < 3; ++i) {
      expect_dtype(required(in, i), start.dtype);
      if (required(in, i).elements() != 1) {
        throw OpError(ErrorKind::kShape, "input " + std::to_string(i) + " is not a scalar");
      }
    }
    out[0].tensor = dispatch(start.dtype, [&](auto tag) -> Tensor {
      using T = typename decltype(tag)::type;
      if constexpr (std::is_same_v<T, bool>) {
        refuse_dtype(start.dtype);
      } else {
        return range(context, start.dtype, *start.as<T>(), *required(in, 1).as<T>(),
                     *required(in, 2).as<T>());
      }
    });
  }

 private:
  template <class T>
  static Tensor range(Context& context, DType dtype, T start, T limit, T delta) {
    using Wide = std::conditional_t<std::is_same_v<T, Half>, float, T>;
    const Wide first = static_cast<Wide>(start);
    const Wide step = static_cast<Wide>(delta);
    const std::int64_t count = length(first, static_cast<Wide>(limit), step);
    Tensor result = allocate(context, dtype, Shape{count});
    T* y = result.as<T>();
    for (std::int64_t i = 0; i < count; ++i) {
      if constexpr (std::is_integral_v<Wide>) {
        using U = Wrapping<Wide>;
        y[i] = static_cast<T>(static_cast<U>(first) + static_cast<U>(i) * static_cast<U>(step));
      } else {
        y[i] = static_cast<T>(first + static_cast<Wide>(i) * step);
      }
    }
    return result;
  }

  template <class T>
  static std::int64_t length(T start, T limit, T delta) {
    if (delta == T{0}) throw OpError(ErrorKind::kShape, "a delta of 0");
    if constexpr (std::is_integral_v<T>) {
      const bool forward = delta > T{0};
      if (forward ? limit <= start : limit >= start) return 0;
      const auto a = static_cast<std::uint64_t>(start);
      const auto b = static_cast<std::uint64_t>(limit);
      const auto d = static_cast<std::uint64_t>(delta);
      const std::uint64_t count = ((forward ? b - a : a - b) - 1) / (forward ? d : 0 - d) + 1;
      return static_cast<std::int64_t>(std::min(count, std::uint64_t{1} << 62));
    } else {
      const double count = std::ceil((static_cast<double>(limit) - static_cast<double>(start)) /
                                     static_cast<double>(delta));
      if (!std::isfinite(count) || count >= 0x1p48) {
        throw OpError(ErrorKind::kShape, "bounds that are not finite");
      }
      return std::max<std::int64_t>(static_cast<std::int64_t>(std::max(count, 0.0)), 0);
    }
  }
};

class Trilu {
 public:
  explicit Trilu(const OpSpec& spec) : upper_(spec.attributes.integer("upper", 1) != 0) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& given = required(in, 0);
    const int rank = given.rank();
    if (rank < 2) throw OpError(ErrorKind::kShape, "a value of rank " + std::to_string(rank));
    const Tensor* k = optional(in, 1);
    const std::int64_t height = given.shape[rank - 2];
    const std::int64_t width = given.shape[rank - 1];
    const std::int64_t diagonal =
        std::clamp<std::int64_t>(k ? read_integer(*k) : 0, -height - 1, width + 1);
    const Tensor data = contiguous(context, given);
    Tensor result = allocate(context, data.dtype, data.shape);
    const std::size_t item = item_size(data.dtype);
    const std::int64_t rows = width == 0 ? 0 : data.elements() / width;
    std::memset(result.data, 0, static_cast<std::size_t>(rows * width) * item);
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t place = row % height + diagonal;
      const std::int64_t begin = upper_ ? std::clamp<std::int64_t>(place, 0, width) : 0;
      const std::int64_t end = upper_ ? width : std::clamp<std::int64_t>(place + 1, 0, width);
      const std::size_t offset = static_cast<std::size_t>(row * width + begin) * item;
      std::memcpy(result.data + offset, data.data + offset,
                  static_cast<std::size_t>(end - begin) * item);
    }
    out[0].tensor = std::move(result);
  }

 private:
  bool upper_;
};

class EyeLike {
 public:
  explicit EyeLike(const OpSpec& spec)
      : typed_(spec.attributes.has("dtype")), k_(spec.attributes.integer("k", 0)) {
    if (typed_) dtype_ = dtype_from_name(spec.attributes.text("dtype", ""));
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    if (data.rank() != 2) {
      throw OpError(ErrorKind::kShape, "rank " + std::to_string(data.rank()) + ", expected 2");
    }
    Tensor result = allocate(context, typed_ ? dtype_ : data.dtype, data.shape);
    fill(result, nullptr);
    const std::int64_t height = data.shape[0];
    const std::int64_t width = data.shape[1];
    const std::int64_t k = std::clamp<std::int64_t>(k_, -height, width);
    dispatch(result.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (std::int64_t row = std::max<std::int64_t>(0, -k); row < height && row + k < width;
           ++row) {
        result.as<T>()[row * width + row + k] = convert_element<T>(true);
      }
    });
    out[0].tensor = std::move(result);
  }

 private:
  bool typed_;
  DType dtype_ = DType::kFloat32;
  std::int64_t k_;
};

class ReverseSequence {
 public:
  explicit ReverseSequence(const OpSpec& spec)
      : time_(spec.attributes.integer("time_axis", 0)),
        batch_(spec.attributes.integer("batch_axis", 1)) {
    if (time_ < 0 || time_ > 1 || batch_ != 1 - time_) {
      throw OpError(ErrorKind::kModel, "time axis " + std::to_string(time_) + " and batch axis " +
                                           std::to_string(batch_) + ", expected 0 and 1");
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& given = required(in, 0);
    if (given.rank() < 2) {
      throw OpError(ErrorKind::kShape, "a value of rank " + std::to_string(given.rank()));
    }
    const int time = static_cast<int>(time_);
    const int batch = static_cast<int>(batch_);
    const std::vector<std::int64_t> lengths = read_integers(required(in, 1));
    const std::int64_t steps = given.shape[time];
    bool fits = static_cast<std::int64_t>(lengths.size()) == given.shape[batch];
    for (std::int64_t length : lengths) fits = fits && length >= 0 && length <= steps;
    if (!fits) {
      throw OpError(ErrorKind::kShape, "expected " + std::to_string(given.shape[batch]) +
                                           " lengths in [0, " + std::to_string(steps) + "]");
    }
    const Tensor data = contiguous(context, given);
    Tensor result = allocate(context, data.dtype, data.shape);
    const std::size_t bytes =
        static_cast<std::size_t>(data.shape.product(2, data.rank())) * item_size(data.dtype);
    const auto offset = [&](std::int64_t step, std::int64_t sequence) {
      return static_cast<std::size_t>(step * (time == 0 ? data.shape[1] : 1) +
                                      sequence * (time == 0 ? 1 : data.shape[1])) *
             bytes;
    };
    for (std::int64_t sequence = 0; sequence < data.shape[batch]; ++sequence) {
      const std::int64_t length = lengths[static_cast<std::size_t>(sequence)];
      for (std::int64_t step = 0; step < steps; ++step) {
        const std::int64_t from = step < length ? length - 1 - step : step;
        std::memcpy(result.data + offset(step, sequence), data.data + offset(from, sequence),
                    bytes);
      }
    }
    out[0].tensor = std::move(result);
  }

 private:
  std::int64_t time_;
  std::int64_t batch_;
};

// Sizes that are products of the run's symbolic dims.
class DimValues {
 public:
  explicit DimValues(const OpSpec& spec)
      : coefficients_(spec.attributes.integers("coefficients")),
        symbols_(spec.attributes.integers("symbols")),
        scalar_(spec.attributes.integer("scalar", 0) != 0) {
    if (symbols_.size() != coefficients_.size() * kSymbols ||
        (scalar_ && coefficients_.size() != 1)) {
      throw OpError(ErrorKind::kModel, "coefficients and symbols do not fit together");
    }
  }

  void run(Context& context, std::span<const Value* const>, std::span<Value> out) const {
    const auto count = static_cast<std::int64_t>(coefficients_.size());
    out[0].tensor = allocate(context, DType::kInt64, scalar_ ? Shape{} : Shape{count});
    std::int64_t* y = out[0].tensor.as<std::int64_t>();
    for (std::size_t i = 0; i < coefficients_.size(); ++i) {
      std::int64_t size = coefficients_[i];
      for (std::size_t j = i * kSymbols; j < (i + 1) * kSymbols; ++j) {
        if (symbols_[j] == -1) continue;
        const auto symbol = static_cast<std::uint64_t>(symbols_[j]);
        if (symbol >= context.symbols.size()) {
          throw OpError(ErrorKind::kModel, "a symbol that this run has no size for");
        }
        if (__builtin_mul_overflow(size, context.symbols[symbol], &size)) {
          throw OpError(ErrorKind::kUnsupported, "a size that is too big");
        }
      }
      y[i] = size;
    }
  }

 private:
  static constexpr std::size_t kSymbols = 4;

  std::vector<std::int64_t> coefficients_;
  std::vector<std::int64_t> symbols_;
  bool scalar_;
};

constexpr OpEntry kOps[] = {
    {"Concat", make_op<Concat>},
    {"Split", make_op<Split>},
    {"Slice", make_op<Slice>},
    {"Tile", make_op<Tile>},
    {"Expand", make_op<Expand>},
    {"Pad", make_op<Pad>},
    {"ConstantOfShape", make_op<ConstantOfShape>},
    {"Range", make_op<Range>},
    {"Trilu", make_op<Trilu>},
    {"EyeLike", make_op<EyeLike>},
    {"ReverseSequence", make_op<ReverseSequence>},
    {"pyrec.DimValues", make_op<DimValues>},
};

}  // namespace

std::span<const OpEntry> assemble_ops() { return kOps; }

}  // namespace pyrec
