#pragma once

#include <cstddef>
#include <span>

namespace pyrec {

// What at least so many of some scores reach, and as a rule few more; minus infinity where fewer
// are above that. NaN reaches nothing.
float reached_by(std::span<const float> scores, std::size_t wanted);

}  // namespace pyrec
