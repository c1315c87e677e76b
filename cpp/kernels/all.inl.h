#pragma once

// Every kernel over the vector vocabulary that was included before, and their table. All is
// in an anonymous namespace: an inline function with a name that other ISAs share could be merged
// with theirs by the linker, and an older CPU would then run instructions it does not have.

#include "kernels/convert.inl.h"
#include "kernels/elementwise.inl.h"
#include "kernels/embedding_bag.inl.h"
#include "kernels/find.inl.h"
#include "kernels/forest.inl.h"
#include "kernels/gather.inl.h"
#include "kernels/gemm.inl.h"
#include "kernels/gemm_bf16.inl.h"
#include "kernels/gemm_i16.inl.h"
#include "kernels/gemm_sparse.inl.h"
#include "kernels/gemm_u8s8.inl.h"
#include "kernels/lookup.inl.h"
#include "kernels/lookup_sum.inl.h"
#include "kernels/lookup_sum_bf16.inl.h"
#include "kernels/lookup_sum_u8.inl.h"
#include "kernels/order.inl.h"
#include "kernels/pack_s8.inl.h"
#include "kernels/pair_dots.inl.h"
#include "kernels/places.inl.h"
#include "kernels/quantize.inl.h"
#include "kernels/reduce.inl.h"
#include "kernels/round_bf16.inl.h"
#include "kernels/screen.inl.h"
#include "kernels/screen_rows.inl.h"
#include "kernels/screen_rows_f32.inl.h"
#include "kernels/screen_u4.inl.h"
#include "kernels/table.inl.h"
#include "kernels/transcendental.inl.h"
