#pragma once

#include <pybind11/numpy.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "bindings/convert.h"
#include "retrieval/vector_index.h"

namespace pyrec {

// An index, and the arrays in whose memory its vectors lie.
struct IndexHandle {
  std::vector<pybind11::array> kept;
  std::unique_ptr<const VectorIndex> index;
  std::size_t items = 0;  // that have places

  IndexHandle() = default;
  IndexHandle(const pybind11::array& vectors, const pybind11::array& details,
              const std::optional<pybind11::array>& codes,
              const std::optional<pybind11::array>& coarse, const PlainArray<std::int64_t>& rows,
              bool biased);
};

// A bit for each item of each block; without a mask none.
std::span<const std::uint64_t> read_mask(const IndexHandle& handle,
                                         const std::optional<PlainArray<std::uint64_t>>& mask);

// The places of some rows, those that have one.
PlaceSet places_of(const VectorIndex& index, std::span<const std::int64_t> rows);

}  // namespace pyrec
