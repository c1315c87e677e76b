#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/dense.h"
#include "plan/ops/scores.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

using Inputs = std::span<const Value* const>;

[[noreturn]] void fail(const std::string& rule) { throw OpError(ErrorKind::kModel, rule); }

// The IR's linear model: coefficients [outputs, features] and an intercept for each output.
class Linear {
 public:
  Linear(const Kernels& kernels, const Attributes& attributes)
      : intercepts_(elements_of<float>(attributes, "intercepts")),
        outputs_(intercepts_.size()),
        transform_(transform_of(attributes.text("transform", "NONE"))) {
    const std::vector<float> coefficients = elements_of<float>(attributes, "coefficients");
    if (outputs_ == 0 || coefficients.empty() || coefficients.size() % outputs_ != 0) {
      fail("the linear model does not fit together");
    }
    features_ = coefficients.size() / outputs_;
    packed_ = AlignedArray<float>(kernels.packed_size_f32(features_, outputs_));
    kernels.pack_f32(coefficients.data(), features_, outputs_, 1, features_, packed_.data());
  }

  std::size_t outputs() const { return outputs_; }
  Transform transform() const { return transform_; }

  Tensor run(Context& context, const Tensor& x) const {
    const Tensor matrix = feature_matrix(context, x, DType::kFloat32);
    if (matrix.shape[1] != static_cast<std::int64_t>(features_)) {
      throw OpError(ErrorKind::kShape, "expected " + std::to_string(features_) +
                                           " features, got shape " + describe(x.shape));
    }
    Tensor y =
        allocate(context, DType::kFloat32, {matrix.shape[0], static_cast<std::int64_t>(outputs_)});
    if (matrix.shape[0] > 0) {
      context.kernels.gemm_f32(matrix.as<float>(), features_, packed_.data(), intercepts_.data(), 0,
                               Activation::kNone, y.as<float>(), outputs_,
                               static_cast<std::size_t>(matrix.shape[0]), outputs_, features_,
                               nullptr);
    }
    return y;
  }

 private:
  std::vector<float> intercepts_;
  std::size_t outputs_;
  Transform transform_;
  std::size_t features_ = 0;
  AlignedArray<float> packed_;
};

class LinearScores {
 public:
  explicit LinearScores(const OpSpec& spec) : linear_(spec.kernels, spec.attributes) {}

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor y = linear_.run(context, required(in, 0));
    for (std::int64_t row = 0; row < y.shape[0]; ++row) {
      apply_transform(linear_.transform(), y.as<float>() + row * y.shape[1], y.shape[1]);
    }
    out[0].tensor = y;
  }

 private:
  Linear linear_;
};

class LinearClassifier {
 public:
  explicit LinearClassifier(const OpSpec& spec)
      : labels_(elements_of<std::int64_t>(spec.attributes, "labels")),
        linear_(spec.kernels, spec.attributes) {
    if (labels_.size() < linear_.outputs()) fail("there is a score without a label");
  }

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor raw = linear_.run(context, required(in, 0));
    const std::int64_t rows = raw.shape[0];
    const std::int64_t n = raw.shape[1];
    const bool single = n == 1 && labels_.size() == 2;
    const Tensor labels = allocate(context, DType::kInt64, {rows});
    const Tensor scores =
        single ? allocate(context, DType::kFloat32, {rows, std::int64_t{2}}) : raw;
    for (std::int64_t row = 0; row < rows; ++row) {
      float* values = raw.as<float>() + row * n;
      std::size_t position;
      if (single) {
        position = values[0] > 0 ? 1 : 0;
        second_score(linear_.transform(), values[0], true, scores.as<float>() + row * 2);
      } else {
        position = static_cast<std::size_t>(std::max_element(values, values + n) - values);
        apply_transform(linear_.transform(), values, n);
      }
      labels.as<std::int64_t>()[row] = labels_[position];
    }
    out[0].tensor = labels;
    if (out.size() > 1) out[1].tensor = scores;
  }

 private:
  std::vector<std::int64_t> labels_;
  Linear linear_;
};

constexpr OpEntry kOps[] = {
    {"pyrec.Linear", make_op<LinearScores>},
    {"pyrec.LinearClassifier", make_op<LinearClassifier>},
};

}  // namespace

std::span<const OpEntry> linear_model_ops() { return kOps; }

}  // namespace pyrec
