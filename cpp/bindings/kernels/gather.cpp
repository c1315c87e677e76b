#include <cstdint>

#include "bindings/kernels/operands.h"
#include "bindings/kernels/runners.h"

namespace pyrec {
namespace {

py::array checked_rows(const Call& call, const py::array& table) {
  const py::array rows = call.flat<std::int64_t>(1, 1);
  expect_rows(call, rows, table);
  return rows;
}

py::object run_gather_rows(const Call& call) {
  call.expect_arguments(2);
  const py::array table = call.flat<float>(0, 2);
  const py::array rows = checked_rows(call, table);
  py::array out = call.output<float>({rows.size(), table.shape(1)});
  const std::size_t out_step = call.row_step(out);
  call.kernels.gather_rows_f32(data<float>(table), size_of(table, 1), data<std::int64_t>(rows),
                               size_of(rows), mutable_data<float>(out), out_step);
  return out;
}

py::object run_bag_sum(const Call& call) {
  call.expect_arguments(3);
  const py::array table = call.flat<float>(0, 2);
  const py::array rows = checked_rows(call, table);
  const auto weights = call.optional_vector<float>(2, rows.size());
  py::array out = call.flat_output<float>({table.shape(1)});
  call.kernels.bag_sum_f32(data<float>(table), size_of(table, 1), data<std::int64_t>(rows),
                           data<float>(weights), size_of(rows), mutable_data<float>(out));
  return out;
}

Runner runner(GatherRowsF32 Kernels::*) { return run_gather_rows; }
Runner runner(BagSumF32 Kernels::*) { return run_bag_sum; }

}  // namespace

void add_gather_runners(Runners& runners) {
  PYREC_KERNELS_gather(PYREC_ADD_RUNNER, PYREC_NO_RUNNER)
}

}  // namespace pyrec
