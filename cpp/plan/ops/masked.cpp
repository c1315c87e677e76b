#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/dense_layer.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

[[noreturn]] void use_alternative(const char* reason) {
  throw OpError(ErrorKind::kAlternative, reason);
}

// f(offset) for the elements at one position along an axis.
template <class F>
void for_each_at(const Tensor& tensor, int axis, std::int64_t position, F&& f) {
  const std::int64_t start = position * tensor.strides[axis];
  for_each_outer<1>(without(tensor.shape, axis), 0, {without(tensor.strides, axis)},
                    [&](std::int64_t at) { f(start + at); });
}

class KeptPositions {
 public:
  explicit KeptPositions(const OpSpec& spec)
      : axes_(spec.attributes.integers("axes")),
        hidden_(spec.attributes.integer("hidden", 1) != 0),
        least_(static_cast<float>(spec.attributes.real("least", 0.0))) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& mask = required(in, 0);
    if (mask.dtype != DType::kBool) throw OpError(ErrorKind::kDType, "expected a mask of bool");
    if (axes_.size() != in.size()) throw OpError(ErrorKind::kModel, "expected an axis per input");
    const int axis = normalize_axis(axes_[0], mask.rank());
    const std::int64_t length = mask.shape[axis];
    if (length == 0) use_alternative("nothing to keep");
    std::vector<std::int64_t> kept;
    for (std::int64_t position = 0; position < length; ++position) {
      bool keeps = false;
      for_each_at(mask, axis, position,
                  [&](std::int64_t at) { keeps = keeps || mask.as<bool>()[at] != hidden_; });
      if (keeps) kept.push_back(position);
    }
    bool whole = kept.empty() || static_cast<std::int64_t>(kept.size()) == length;
    for (std::size_t i = 1; !whole && i < in.size(); ++i) {
      whole = !finite_elsewhere(required_f32(in, i, kName), axes_[i], kept, length);
    }
    const std::int64_t count = whole ? length : static_cast<std::int64_t>(kept.size());
    out[0].tensor = allocate(context, DType::kInt64, {count});
    for (std::int64_t i = 0; i < count; ++i) {
      out[0].tensor.as<std::int64_t>()[i] = whole ? i : kept[static_cast<std::size_t>(i)];
    }
    if (out.size() < 2) return;
    out[1].tensor = allocate(context, DType::kFloat32, {});
    *out[1].tensor.as<float>() = whole ? -std::numeric_limits<float>::infinity() : least_;
  }

 private:
  static constexpr const char* kName = "pyrec.KeptPositions";

  static bool finite_elsewhere(const Tensor& values, std::int64_t given_axis,
                               const std::vector<std::int64_t>& kept, std::int64_t length) {
    const int axis = normalize_axis(given_axis, values.rank());
    if (values.shape[axis] != length) {
      throw OpError(ErrorKind::kShape, std::string(kName) + ": a value of shape " +
                                           describe(values.shape) + " for " +
                                           std::to_string(length) + " positions");
    }
    bool finite = true;
    auto next = kept.begin();
    for (std::int64_t position = 0; position < length; ++position) {
      if (next != kept.end() && *next == position) {
        ++next;
        continue;
      }
      for_each_at(values, axis, position, [&](std::int64_t at) {
        finite = finite && std::isfinite(values.as<float>()[at]);
      });
    }
    return finite;
  }

  std::vector<std::int64_t> axes_;
  bool hidden_;
  float least_;
};

class CheckedScores {
 public:
  explicit CheckedScores(const OpSpec& spec) : axis_(spec.attributes.integer("axis", -1)) {}

  void run(Context&, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& scores = required_f32(in, 0, kName);
    const float least = *required_f32(in, 1, kName).as<float>();
    out[0].tensor = scores;
    if (least == -std::numeric_limits<float>::infinity()) return;
    const int axis = normalize_axis(axis_, scores.rank());
    const std::int64_t length = scores.shape[axis], step = scores.strides[axis];
    bool exact = true;
    for_each_outer<1>(without(scores.shape, axis), 0, {without(scores.strides, axis)},
                      [&](std::int64_t at) {
                        const float* x = scores.as<float>() + at;
                        bool reached = false, ordinary = true;
                        for (std::int64_t i = 0; i < length; ++i) {
                          reached |= x[i * step] >= least;
                          ordinary &= x[i * step] < std::numeric_limits<float>::infinity();
                        }
                        exact &= reached && ordinary;
                      });
    if (!exact) use_alternative("scores as low as those of hidden positions");
  }

 private:
  static constexpr const char* kName = "pyrec.CheckedScores";

  std::int64_t axis_;
};

constexpr OpEntry kOps[] = {
    {"pyrec.CheckedScores", make_op<CheckedScores>},
    {"pyrec.KeptPositions", make_op<KeptPositions>},
};

}  // namespace

std::span<const OpEntry> masked_ops() { return kOps; }

}  // namespace pyrec
