#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/dense.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

// Strides that give a non-empty tensor another shape of as many elements, if any do.
std::optional<Shape> reshaped_strides(const Tensor& tensor, const Shape& target) {
  Shape sizes;
  Shape steps;
  for (int axis = 0; axis < tensor.rank(); ++axis) {
    if (tensor.shape[axis] == 1) continue;
    sizes.push_back(tensor.shape[axis]);
    steps.push_back(tensor.strides[axis]);
  }
  Shape result = target;
  int from = 0;
  int to = 0;
  while (from < sizes.rank() && to < target.rank()) {
    int from_end = from + 1;
    int to_end = to + 1;
    std::int64_t have = sizes[from];
    std::int64_t want = target[to];
    while (have != want) {
      if (want < have) {
        want *= target[to_end++];
      } else {
        have *= sizes[from_end++];
      }
    }
    for (int axis = from; axis + 1 < from_end; ++axis) {
      if (steps[axis] != sizes[axis + 1] * steps[axis + 1]) return std::nullopt;
    }
    std::int64_t step = steps[from_end - 1];
    for (int axis = to_end - 1; axis >= to; --axis) {
      result[axis] = step;
      step *= target[axis];
    }
    from = from_end;
    to = to_end;
  }
  for (; to < target.rank(); ++to) result[to] = 1;
  return result;
}

Tensor reshape(Context& context, const Tensor& tensor, const Shape& target) {
  if (checked_elements(target) == 0) return view(tensor, target, contiguous_strides(target));
  if (const std::optional<Shape> strides = reshaped_strides(tensor, target)) {
    return view(tensor, target, *strides);
  }
  return view(contiguous(context, tensor), target, contiguous_strides(target));
}

class Reshape {
 public:
  explicit Reshape(const OpSpec& spec)
      : allow_zero_(spec.attributes.integer("allowzero", 0) != 0) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    out[0].tensor = reshape(context, data, target(data.shape, read_integers(required(in, 1))));
  }

 private:
  Shape target(const Shape& shape, const std::vector<std::int64_t>& sizes) const {
    Shape result;
    Shape explicit_sizes;
    Shape rest;  // the input's sizes that are not copied
    int inferred = -1;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      const int axis = static_cast<int>(i);
      if (sizes[i] == 0 && !allow_zero_) {
        if (axis >= shape.rank()) {
          throw OpError(ErrorKind::kShape, "axis " + std::to_string(axis) +
                                               " copied from a value of shape " + describe(shape));
        }
        result.push_back(shape[axis]);
        continue;
      }
      if (sizes[i] == -1) {
        if (inferred >= 0) throw OpError(ErrorKind::kShape, "more than one size of -1");
        inferred = axis;
        result.push_back(1);
      } else {
        result.push_back(sizes[i]);
        explicit_sizes.push_back(sizes[i]);
      }
      if (axis < shape.rank()) rest.push_back(shape[axis]);
    }
    for (int axis = result.rank(); axis < shape.rank(); ++axis) rest.push_back(shape[axis]);
    // Copied axes stand on both sides, so that [0, -1] has a meaning for an empty batch too.
    const std::int64_t have = checked_elements(rest);
    const std::int64_t want = checked_elements(explicit_sizes);
    if (inferred >= 0 && want != 0 && have % want == 0) result[inferred] = have / want;
    if (checked_elements(result) != shape.elements() ||
        (inferred >= 0 && (want == 0 || have % want != 0))) {
      throw OpError(ErrorKind::kShape,
                    "a value of shape " + describe(shape) + " does not fit " + describe(result));
    }
    return result;
  }

  bool allow_zero_;
};

class Flatten {
 public:
  explicit Flatten(const OpSpec& spec) : axis_(spec.attributes.integer("axis", 1)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    const int axis = axis_ == data.rank() ? data.rank() : normalize_axis(axis_, data.rank());
    const Shape target{data.shape.product(0, axis), data.shape.product(axis, data.rank())};
    out[0].tensor = reshape(context, data, target);
  }

 private:
  std::int64_t axis_;
};

// The axes of `rank` that a list names, as flags; each may be named once.
std::array<bool, kMaxRank> axis_flags(const std::vector<std::int64_t>& axes, int rank) {
  std::array<bool, kMaxRank> flags{};
  for (std::int64_t axis : axes) {
    bool& flag = flags[static_cast<std::size_t>(normalize_axis(axis, rank))];
    if (flag) throw OpError(ErrorKind::kShape, "axis " + std::to_string(axis) + " named twice");
    flag = true;
  }
  return flags;
}

class Squeeze {
 public:
  explicit Squeeze(const OpSpec& spec) {
    const Tensor* axes = constant_input(spec, 1);
    if (axes && axes->dtype == DType::kInt64) axes_ = read_integers(*axes);
  }

  void run(Context&, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    const Tensor* axes = optional(in, 1);
    std::array<bool, kMaxRank> dropped{};
    if (axes) dropped = axis_flags(axes_ ? *axes_ : read_integers(*axes), data.rank());
    Shape shape;
    Shape strides;
    for (int axis = 0; axis < data.rank(); ++axis) {
      const bool one = data.shape[axis] == 1;
      if (axes ? dropped[static_cast<std::size_t>(axis)] : one) {
        if (one) continue;
        throw OpError(ErrorKind::kShape, "axis " + std::to_string(axis) + " has size " +
                                             std::to_string(data.shape[axis]) + ", expected 1");
      }
      shape.push_back(data.shape[axis]);
      strides.push_back(data.strides[axis]);
    }
    out[0].tensor = view(data, shape, strides);
  }

 private:
  std::optional<std::vector<std::int64_t>> axes_;  // where they are constant
};

class Unsqueeze {
 public:
  explicit Unsqueeze(const OpSpec&) {}

  void run(Context&, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    const std::vector<std::int64_t> axes = read_integers(required(in, 1));
    if (axes.size() > static_cast<std::size_t>(kMaxRank - data.rank())) {
      throw OpError(ErrorKind::kUnsupported, "more than 8 axes");
    }
    const int rank = data.rank() + static_cast<int>(axes.size());
    const std::array<bool, kMaxRank> added = axis_flags(axes, rank);
    Shape shape;
    for (int axis = 0, from = 0; axis < rank; ++axis) {
      shape.push_back(added[static_cast<std::size_t>(axis)] ? 1 : data.shape[from++]);
    }
    Shape strides = shape;
    std::int64_t step = 1;
    for (int axis = rank - 1, from = data.rank() - 1; axis >= 0; --axis) {
      if (!added[static_cast<std::size_t>(axis)]) step = data.strides[from--];
      strides[axis] = step;
    }
    out[0].tensor = view(data, shape, strides);
  }
};

class Transpose {
 public:
  explicit Transpose(const OpSpec& spec)
      : given_(spec.attributes.has("perm")), permutation_(spec.attributes.integers("perm")) {}

  void run(Context&, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    const int rank = data.rank();
    if (given_ && permutation_.size() != static_cast<std::size_t>(rank)) {
      throw OpError(ErrorKind::kShape, "perm has " + std::to_string(permutation_.size()) +
                                           " axes, the value " + std::to_string(rank));
    }
    Shape shape = data.shape;
    Shape strides = data.strides;
    if (given_) axis_flags(permutation_, rank);
    for (int axis = 0; axis < rank; ++axis) {
      const int from = given_ ? normalize_axis(permutation_[static_cast<std::size_t>(axis)], rank)
                              : rank - 1 - axis;
      shape[axis] = data.shape[from];
      strides[axis] = data.strides[from];
    }
    out[0].tensor = view(data, shape, strides);
  }

 private:
  bool given_;
  std::vector<std::int64_t> permutation_;
};

class ShapeOf {
 public:
  explicit ShapeOf(const OpSpec& spec)
      : start_(spec.attributes.integer("start", 0)),
        end_(spec.attributes.integer("end", kMaxRank)) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Shape& shape = required(in, 0).shape;
    const int start = clamp(start_, shape.rank());
    const int end = std::max(clamp(end_, shape.rank()), start);
    out[0].tensor = allocate(context, DType::kInt64, Shape{end - start});
    std::copy(shape.begin() + start, shape.begin() + end, out[0].tensor.as<std::int64_t>());
  }

 private:
  static int clamp(std::int64_t axis, int rank) {
    if (axis < 0) axis += rank;
    return static_cast<int>(std::clamp<std::int64_t>(axis, 0, rank));
  }

  std::int64_t start_;
  std::int64_t end_;
};

class Size {
 public:
  explicit Size(const OpSpec&) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    out[0].tensor = allocate(context, DType::kInt64, Shape{});
    *out[0].tensor.as<std::int64_t>() = required(in, 0).elements();
  }
};

// DepthToSpace and SpaceToDepth: a [n, c, h, w] value whose h and w, or whose c, are blocks.
template <bool kToSpace>
class Blocks {
 public:
  explicit Blocks(const OpSpec& spec) : block_(spec.attributes.integer("blocksize", 0)) {
    const std::string mode = spec.attributes.text("mode", "DCR");
    if (block_ < 1 || block_ > 1 << 20 || (mode != "DCR" && mode != "CRD")) {
      throw OpError(ErrorKind::kModel,
                    "blocksize " + std::to_string(block_) + " and mode " + mode + " are not valid");
    }
    depth_first_ = mode == "CRD";
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    if (data.rank() != 4) {
      throw OpError(ErrorKind::kShape, "rank " + std::to_string(data.rank()) + ", expected 4");
    }
    const Shape& s = data.shape;
    Shape result;
    if (kToSpace) {
      result = Shape{s[0], divided(s[1], block_ * block_), multiplied(s[2], block_),
                     multiplied(s[3], block_)};
    } else {
      result = Shape{s[0], multiplied(s[1], block_ * block_), divided(s[2], block_),
                     divided(s[3], block_)};
    }
    Tensor made = allocate(context, data.dtype, result);
    const Tensor& deep = kToSpace ? data : made;
    const Tensor& wide = kToSpace ? made : data;
    // Both as [n, depth, block row, block column, rows, columns].
    const std::int64_t b = block_;
    const Shape shape{s[0], wide.shape[1], b, b, deep.shape[2], deep.shape[3]};
    const std::int64_t channel = deep.strides[1];
    const std::int64_t inner = depth_first_ ? channel : channel * wide.shape[1];
    const Shape deep_strides{deep.strides[0], depth_first_ ? channel * b * b : channel,
                             inner * b,       inner,
                             deep.strides[2], deep.strides[3]};
    const Shape wide_strides{wide.strides[0], wide.strides[1],     wide.strides[2],
                             wide.strides[3], wide.strides[2] * b, wide.strides[3] * b};
    copy_elements(view(data, shape, kToSpace ? deep_strides : wide_strides),
                  view(made, shape, kToSpace ? wide_strides : deep_strides));
    out[0].tensor = std::move(made);
  }

 private:
  static std::int64_t divided(std::int64_t size, std::int64_t by) {
    if (size % by != 0) {
      throw OpError(ErrorKind::kShape,
                    "size " + std::to_string(size) + " is not a multiple of " + std::to_string(by));
    }
    return size / by;
  }

  static std::int64_t multiplied(std::int64_t size, std::int64_t by) {
    std::int64_t result;
    if (__builtin_mul_overflow(size, by, &result)) {
      throw OpError(ErrorKind::kUnsupported, "blocksize too big for its input");
    }
    return result;
  }

  std::int64_t block_;
  bool depth_first_ = false;
};

constexpr OpEntry kOps[] = {
    {"Reshape", make_op<Reshape>},
    {"Flatten", make_op<Flatten>},
    {"Squeeze", make_op<Squeeze>},
    {"Unsqueeze", make_op<Unsqueeze>},
    {"Transpose", make_op<Transpose>},
    {"Shape", make_op<ShapeOf>},
    {"Size", make_op<Size>},
    {"DepthToSpace", make_op<Blocks<true>>},
    {"SpaceToDepth", make_op<Blocks<false>>},
};

}  // namespace

std::span<const OpEntry> layout_ops() { return kOps; }

}  // namespace pyrec
