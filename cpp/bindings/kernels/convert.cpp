#include <cstdint>

#include "bindings/kernels/call.h"
#include "bindings/kernels/runners.h"

namespace pyrec {
namespace {

Runner runner(HalfToF32 Kernels::* kernel) {
  return [=](const Call& call) { return run_map(call.kernels.*kernel, call); };
}
Runner runner(F32ToHalf Kernels::* kernel) {
  return [=](const Call& call) { return run_map(call.kernels.*kernel, call); };
}

}  // namespace

void add_convert_runners(Runners& runners) {
  PYREC_KERNELS_convert(PYREC_ADD_RUNNER, PYREC_NO_RUNNER)
}

}  // namespace pyrec
