#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "plan/op.h"

namespace pyrec {

// One function a family; each lives in ops/<family>.cpp.
std::span<const OpEntry> unary_ops();
std::span<const OpEntry> binary_ops();
std::span<const OpEntry> select_ops();
std::span<const OpEntry> cast_ops();
std::span<const OpEntry> layout_ops();
std::span<const OpEntry> assemble_ops();
std::span<const OpEntry> indexing_ops();
std::span<const OpEntry> lookup_exact_ops();
std::span<const OpEntry> ordering_ops();
std::span<const OpEntry> reduction_ops();
std::span<const OpEntry> linear_algebra_ops();
std::span<const OpEntry> convolution_ops();
std::span<const OpEntry> normalization_ops();
std::span<const OpEntry> quantization_ops();
std::span<const OpEntry> recurrent_ops();
std::span<const OpEntry> control_flow_ops();
std::span<const OpEntry> sequence_ops();
std::span<const OpEntry> forest_ops();
std::span<const OpEntry> linear_model_ops();
std::span<const OpEntry> classical_ops();
std::span<const OpEntry> encoder_ops();
std::span<const OpEntry> string_ops();
std::span<const OpEntry> hashed_ops();
std::span<const OpEntry> ngram_ops();
std::span<const OpEntry> split_ops();
std::span<const OpEntry> dense_layer_ops();
std::span<const OpEntry> dense_quantized_ops();
std::span<const OpEntry> pack_in_order_ops();
std::span<const OpEntry> lookup_ops();
std::span<const OpEntry> product_sum_ops();
std::span<const OpEntry> fold_dots_ops();
std::span<const OpEntry> masked_ops();
std::span<const OpEntry> bag_ops();

// The factory of an operator, or null if it has no C++ form.
OpFactory find_op(std::string_view name);

std::vector<std::string_view> op_names();

}  // namespace pyrec
