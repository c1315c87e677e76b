#pragma once

// Views of the rows of values: entries along the axis that holds them.

#include <cstdint>

#include "plan/op.h"

namespace pyrec {

// How many entries along an axis each of `rows` rows has.
std::int64_t entries_per_row(const Tensor& tensor, int axis, std::int64_t rows);

// `count` rows of `total`, from `begin` on.
Tensor rows_of(const Tensor& tensor, int axis, std::int64_t begin, std::int64_t count,
               std::int64_t total);

// One row repeated `rows` times: a view where that can be.
Tensor repeat_row(Context& context, const Tensor& tensor, int axis, std::int64_t rows);

// The same values without an owner, which has to outlive them.
Tensor borrowed(const Tensor& tensor);
Value borrowed(const Value& value);

}  // namespace pyrec
