#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/dense.h"
#include "plan/ops/dense_layer.h"
#include "plan/ops/lookups.h"
#include "plan/ops/narrow_rows.h"
#include "plan/program.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

class Lookup {
 public:
  static constexpr int kStartsFrom = -1;

  explicit Lookup(const OpSpec& spec)
      : parts_(node_parts(spec, 0)),
        labels_(spec.attributes.texts("labels")),
        strict_(spec.attributes.integer("strict", 0) != 0) {
    for (const NodePart& part : parts_) width_ += part.width;
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Lookups lookups(context, parts_, labels_, strict_, in, 0);
    const auto n = static_cast<std::int64_t>(lookups.rows());
    const Tensor rows = made_where_offered(context, out[0], DType::kFloat32, {n, width_});
    out[0].tensor = rows;
    if (n == 0) return;
    context.kernels.lookup_f32(lookups.data(), lookups.size(), lookups.rows(), rows.as<float>(),
                               unsigned_size(rows.strides[0]));
  }

 private:
  std::vector<NodePart> parts_;
  std::vector<std::string> labels_;
  bool strict_;
  std::int64_t width_ = 0;
};

class LookupSum {
 public:
  static constexpr int kStartsFrom = 0;

  explicit LookupSum(const OpSpec& spec)
      : parts_(node_parts(spec, 1)),
        labels_(spec.attributes.texts("labels")),
        strict_(spec.attributes.integer("strict", 0) != 0),
        activation_(activation_of("pyrec.LookupSum", spec.attributes.text("activation", ""))),
        form_(narrow_rows(spec.kernels, spec.attributes.text("rows", ""))),
        ordered_(spec.attributes.integer("ordered", 0) != 0) {
    if (form_ && activation_ > Activation::kRelu) {
      throw OpError(ErrorKind::kUnsupported, "narrow rows with another activation than ReLU");
    }
    for (const NodePart& part : parts_) {
      if (part.width != parts_[0].width) {
        throw OpError(ErrorKind::kModel, "expected parts of one width");
      }
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Lookups lookups(context, parts_, labels_, strict_, in, 1);
    const Shape shape{static_cast<std::int64_t>(lookups.rows()), parts_[0].width};
    const ShapedBias bias(context, "pyrec.LookupSum", optional(in, 0), shape);
    if (form_) {
      out[0].tensor = narrow_sums(context, lookups, bias, unsigned_size(shape[1]));
      return;
    }
    const Tensor sums = made_where_offered(context, out[0], DType::kFloat32, shape);
    out[0].tensor = sums;
    if (shape.elements() == 0) return;
    context.kernels.lookup_sum_f32(bias.rows, bias.step, lookups.data(), lookups.size(),
                                   activation_, lookups.rows(), unsigned_size(shape[1]),
                                   sums.as<float>(), unsigned_size(sums.strides[0]));
  }

 private:
  Tensor narrow_sums(Context& context, const Lookups& lookups, const MatrixBias& bias,
                     std::size_t width) const {
    const std::size_t size = form_->size(width);
    Tensor rows =
        allocate(context, DType::kUint8,
                 {static_cast<std::int64_t>(lookups.rows()), static_cast<std::int64_t>(size)});
    const RowOrder order(context, ordered_ ? bias.rows : nullptr, width);
    const BufferRef scratch = context.arena.allocate(kSummedRows * width * sizeof(float));
    form_->sum(context.kernels, bias.rows, bias.step, lookups.data(), lookups.size(),
               activation_ == Activation::kRelu, lookups.rows(), width, order.data(),
               reinterpret_cast<float*>(scratch.get()->data()), rows.data);
    return rows;
  }

  std::vector<NodePart> parts_;
  std::vector<std::string> labels_;
  bool strict_;
  Activation activation_;
  const NarrowRows* form_;  // null: float32 numbers
  bool ordered_;            // handed over in the order of the bias
};

class PairDots {
 public:
  explicit PairDots(const OpSpec& spec) {
    const Tensor* left = constant_input(spec, 2);
    const Tensor* right = constant_input(spec, 3);
    if (!left || !right) throw OpError(ErrorKind::kUnsupported, "pairs that are not constant");
    left_ = read_integers(*left);
    right_ = read_integers(*right);
    if (left_.size() != right_.size()) {
      throw OpError(ErrorKind::kModel, "expected as many left as right vectors");
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor a = vectors(context, required(in, 0));
    const Tensor b = vectors(context, required(in, 1));
    if (a.shape[0] != b.shape[0] || a.shape[2] != b.shape[2]) {
      throw OpError(ErrorKind::kShape, "pairs of vectors of shapes " + describe(a.shape) + " and " +
                                           describe(b.shape));
    }
    const BufferRef scratch = context.arena.allocate(2 * left_.size() * sizeof(std::int64_t));
    auto* left = reinterpret_cast<std::int64_t*>(scratch.get()->data());
    std::int64_t* right = left + left_.size();
    set_offsets(left_, a, left);
    set_offsets(right_, b, right);
    out[0].tensor =
        allocate(context, DType::kFloat32, {a.shape[0], static_cast<std::int64_t>(left_.size())});
    if (out[0].tensor.elements() == 0) return;
    context.kernels.pair_dots_f32(a.as<float>(), unsigned_size(a.strides[0]), b.as<float>(),
                                  unsigned_size(b.strides[0]), left, right, left_.size(),
                                  unsigned_size(a.shape[2]), unsigned_size(a.shape[0]),
                                  out[0].tensor.as<float>());
  }

 private:
  static Tensor vectors(Context& context, const Tensor& tensor) {
    if (tensor.dtype != DType::kFloat32) refuse_dtype("pyrec.PairDots", tensor.dtype);
    if (tensor.rank() != 3) {
      throw OpError(ErrorKind::kShape,
                    "expected vectors [N, P, D], got shape " + describe(tensor.shape));
    }
    const bool plain = tensor.strides[0] >= 0 && (tensor.shape[2] <= 1 || tensor.strides[2] == 1);
    return plain ? tensor : contiguous(context, tensor);
  }

  static void set_offsets(const std::vector<std::int64_t>& numbers, const Tensor& tensor,
                          std::int64_t* offsets) {
    const std::int64_t count = tensor.shape[1];
    for (std::int64_t number : numbers) {
      if (number < -count || number >= count) {
        throw OpError(ErrorKind::kModel, "a pair of vectors that do not exist");
      }
      *offsets++ = (number < 0 ? number + count : number) * tensor.strides[1];
    }
  }

  std::vector<std::int64_t> left_, right_;
};

constexpr OpEntry kOps[] = {
    {"pyrec.Lookup", make_op<Lookup>},
    {"pyrec.LookupSum", make_op<LookupSum>},
    {"pyrec.PairDots", make_op<PairDots>},
};

}  // namespace

std::span<const OpEntry> lookup_ops() { return kOps; }

}  // namespace pyrec
