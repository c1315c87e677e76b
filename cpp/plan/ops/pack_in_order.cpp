#include <cstdint>
#include <string>

#include "plan/op_list.h"
#include "plan/ops/dense.h"
#include "plan/ops/dense_layer.h"
#include "plan/ops/narrow_rows.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

// The constant weights of a layer whose input is handed over in the order of a row, with their rows
// in that order.
class PackInOrder {
 public:
  explicit PackInOrder(const OpSpec& spec) {
    const std::string precision = spec.attributes.text("precision", "");
    const bool int8 = precision == "int8";
    const bool skips = int8 ? spec.kernels.skips_groups : spec.kernels.skips_pairs;
    if (!skips || !narrow_rows(spec.kernels, precision)) {
      throw OpError(ErrorKind::kUnsupported,
                    std::string(kName) + ": precision '" + precision + "' on " + spec.kernels.isa);
    }
    const Tensor& weights = constant_weights(spec, 0, kName);
    reorder_ = int8 ? spec.kernels.reorder_s8 : spec.kernels.reorder_bf16;
    k_ = unsigned_size(weights.shape[0]);
    n_ = unsigned_size(weights.shape[1]);
    size_ = (int8 ? spec.kernels.packed_size_s8 : spec.kernels.packed_size_bf16)(k_, n_);
    packed_ = AlignedArray<std::byte>(size_);
    (int8 ? spec.kernels.pack_sparse_s8 : spec.kernels.pack_sparse_bf16)(
        weights.as<float>(), k_, n_, unsigned_size(weights.strides[0]),
        unsigned_size(weights.strides[1]), packed_.data());
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor row = contiguous(context, required_f32(in, 1, kName));
    if (row.elements() != static_cast<std::int64_t>(k_)) {
      throw OpError(ErrorKind::kShape, std::string(kName) + ": expected one row of " +
                                           std::to_string(k_) + ", got shape " +
                                           describe(row.shape));
    }
    const RowOrder order(context, row.as<float>(), k_);
    out[0].tensor = allocate(context, DType::kUint8, {1, static_cast<std::int64_t>(size_)});
    reorder_(packed_.data(), order.data(), k_, n_, out[0].tensor.data);
  }

 private:
  static constexpr const char* kName = "pyrec.PackInOrder";

  ReorderBytes reorder_;
  std::size_t k_, n_, size_;
  AlignedArray<std::byte> packed_;
};

constexpr OpEntry kOps[] = {{"pyrec.PackInOrder", make_op<PackInOrder>}};

}  // namespace

std::span<const OpEntry> pack_in_order_ops() { return kOps; }

}  // namespace pyrec
