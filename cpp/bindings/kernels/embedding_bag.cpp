#include <cstddef>
#include <cstdint>
#include <string>

#include "bindings/kernels/operands.h"
#include "bindings/kernels/runners.h"

namespace pyrec {
namespace {

py::object run_embedding_bag(const Call& call) {
  call.expect_arguments(7);
  const LookupOperands table(call, 0, 0);
  const py::array ids = call.flat<std::int64_t>(1, 1), bounds = call.flat<std::int64_t>(2, 2);
  const auto weights = call.optional_vector<float>(3, ids.size());
  const std::string mode = py::cast<std::string>(call.argument(4));
  const py::object padding = call.argument(5);
  Bags bags{};
  bags.part = table.parts.at(0);
  bags.size = table.size;
  bags.ids = data<std::int64_t>(ids);
  bags.given = ids.size();
  bags.wrap = table.size;
  bags.weights = data<float>(weights);
  bags.bounds = data<std::int64_t>(bounds);
  bags.count = size_of(bounds, 0);
  call.expect(bounds.shape(1) == 2, "bounds are pairs");
  for (std::size_t i = 0; i < bags.count; ++i) {
    const std::int64_t start = bags.bounds[2 * i], end = bags.bounds[2 * i + 1];
    call.expect(0 <= start && start <= end && end <= ids.size(), "a bag is not among the ids");
  }
  const bool weighted = py::cast<bool>(call.argument(6));
  bags.mode = mode == "sum"   ? BagMode::kSum
              : mode == "max" ? BagMode::kMax
              : weighted      ? BagMode::kWeightedMean
                              : BagMode::kMean;
  bags.padded = !padding.is_none();
  if (bags.padded) bags.padding[0] = bags.padding[1] = py::cast<std::int64_t>(padding);
  py::array out = call.output<float>({bounds.shape(0), static_cast<py::ssize_t>(bags.part.width)});
  const std::size_t out_step = call.row_step(out);
  const std::int64_t wrong =
      call.kernels.embedding_bag_f32(bags, mutable_data<float>(out), out_step);
  call.expect(wrong < 0, "id " + std::to_string(wrong) + " is outside the table");
  return out;
}

Runner runner(EmbeddingBagF32 Kernels::*) { return run_embedding_bag; }

}  // namespace

void add_embedding_bag_runners(Runners& runners) {
  PYREC_KERNELS_embedding_bag(PYREC_ADD_RUNNER, PYREC_NO_RUNNER)
}

}  // namespace pyrec
