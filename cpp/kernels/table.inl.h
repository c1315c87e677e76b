#pragma once

// The table that an ISA's file makes of the kernels of a list.

#include "dispatch/kernels.h"
#include "kernels/gemm_groups_sparse.inl.h"

#define PYREC_TABLE_ENTRY(name, type) .name = name,
#define PYREC_KERNEL_TABLE(isa_name, LIST) \
  {.isa = isa_name,                        \
   .lanes = kLanes,                        \
   .multiplies_bf16 = kMultipliesBf16,     \
   .skips_groups = kSkipsGroups,           \
   .skips_pairs = kMultipliesBf16,         \
   LIST(PYREC_TABLE_ENTRY)}
