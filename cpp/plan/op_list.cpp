#include "plan/op_list.h"

#include <unordered_map>

namespace pyrec {

namespace {

const std::unordered_map<std::string_view, OpFactory>& factories() {
  static const auto* const kFactories = [] {
    auto* found = new std::unordered_map<std::string_view, OpFactory>();
    for (auto family : {unary_ops,
                        binary_ops,
                        select_ops,
                        cast_ops,
                        layout_ops,
                        assemble_ops,
                        lookup_exact_ops,
                        indexing_ops,
                        ordering_ops,
                        reduction_ops,
                        linear_algebra_ops,
                        convolution_ops,
                        normalization_ops,
                        quantization_ops,
                        recurrent_ops,
                        control_flow_ops,
                        sequence_ops,
                        forest_ops,
                        linear_model_ops,
                        classical_ops,
                        encoder_ops,
                        string_ops,
                        hashed_ops,
                        dense_layer_ops,
                        dense_quantized_ops,
                        pack_in_order_ops,
                        lookup_ops,
                        product_sum_ops,
                        masked_ops,
                        fold_dots_ops,
                        bag_ops,
                        ngram_ops,
                        split_ops}) {
      for (const OpEntry& entry : family()) found->emplace(entry.name, entry.make);
    }
    return found;
  }();
  return *kFactories;
}

}  // namespace

OpFactory find_op(std::string_view name) {
  const auto found = factories().find(name);
  return found == factories().end() ? nullptr : found->second;
}

std::vector<std::string_view> op_names() {
  std::vector<std::string_view> names;
  for (const auto& [name, make] : factories()) names.push_back(name);
  return names;
}

}  // namespace pyrec
