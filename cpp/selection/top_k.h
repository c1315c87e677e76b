#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dispatch/kernels.h"

namespace pyrec {

// Rows of the k largest scores, best first. Equal scores: the lower row first. NaN after all
// others. Fewer than k scores give fewer rows.
std::vector<std::int64_t> top_k(const Kernels& kernels, std::span<const float> scores,
                                std::int64_t k);

}  // namespace pyrec
