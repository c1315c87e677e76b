#include "bindings/kernels/call.h"
#include "bindings/kernels/runners.h"

namespace pyrec {
namespace {

Runner runner(UnaryF32 Kernels::* kernel) {
  return [=](const Call& call) { return run_map(call.kernels.*kernel, call); };
}

}  // namespace

void add_transcendental_runners(Runners& runners) {
  PYREC_KERNELS_transcendental(PYREC_ADD_RUNNER, PYREC_NO_RUNNER)
}

}  // namespace pyrec
