#pragma once

#include <cstddef>
#include <vector>

#include "selection/entries.h"

namespace pyrec {

// Leaves the k first entries, all of which are different, in their order.
void sort_first(std::vector<Entry>& entries, std::size_t k);

}  // namespace pyrec
