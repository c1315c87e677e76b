#pragma once

// Reading slices at positions given as data, for every family that needs it.

#include <cstdint>
#include <span>
#include <string>

#include "plan/tensor_tools.h"

namespace pyrec {

// A new tensor of the slices at `index` (each in [0, size)) along an axis, which becomes the axes
// of `index_shape`.
Tensor take(Context& context, const Tensor& tensor, int axis, std::span<const std::int64_t> index,
            const Shape& index_shape);

// Throws OpError(kIdRange) for an id at a row that is outside a table of `size` rows.
[[noreturn]] void refuse_index(std::int64_t size, std::int64_t row);

// How many positions a row of a tensor of them has; 0: there are no rows.
std::int64_t count_per_row(const Tensor& ids);

// Throws OpError(kIdRange) of a rule that the id at a place, of `per_row` in each row, breaks.
[[noreturn]] void refuse_id(std::string rule, std::int64_t place, std::int64_t per_row);

// Ids, int32 or int64, one for each place of the first axis, from an element on, as rows of a table
// of `size` rows: negative ones count from its end, or are refused where ids are strict. Throws
// OpError(kIdRange) with the place of one that is outside.
void check_ids(const Tensor& ids, std::int64_t offset, std::int64_t size, bool strict,
               std::int64_t* rows);

// What an error says of an id outside a table of `size` rows.
std::string outside_table(std::int64_t size, bool strict);

}  // namespace pyrec
