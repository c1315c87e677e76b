#include "bindings/index_handle.h"

#include <algorithm>

#include "bindings/gil.h"
#include "core/error.h"

namespace py = pybind11;

namespace pyrec {

namespace {

// One part of the records of a store, at least `bytes` of each; the next record may lie further on.
const std::byte* read_part(const py::array& part, std::size_t bytes) {
  constexpr auto kUnit = static_cast<py::ssize_t>(sizeof(float));
  const bool fits = part.ndim() == 2 && part.itemsize() == 1 && part.strides(1) == 1 &&
                    part.strides(0) >= part.shape(1) && part.strides(0) % kUnit == 0 &&
                    static_cast<std::size_t>(part.shape(1)) >= bytes &&
                    part.shape(1) % kUnit == 0 &&
                    reinterpret_cast<std::uintptr_t>(part.data()) % alignof(float) == 0;
  if (!fits) throw OpError(ErrorKind::kShape, "expected records of vectors");
  return static_cast<const std::byte*>(part.data());
}

// Codes of at least so many bytes, in groups of eight, side by side.
const std::byte* read_codes(const py::array& part, std::size_t bytes) {
  const std::byte* const codes = read_part(part, bytes);
  if (part.strides(0) != part.shape(1) || part.shape(1) % 8 != 0) {
    throw OpError(ErrorKind::kShape, "expected padded codes");
  }
  return codes;
}

}  // namespace

IndexHandle::IndexHandle(const py::array& vectors, const py::array& details,
                         const std::optional<py::array>& codes,
                         const std::optional<py::array>& coarse,
                         const PlainArray<std::int64_t>& rows, bool biased)
    : kept{vectors, details}, items(static_cast<std::size_t>(rows.size())) {
  VectorTable table{};
  table.vectors = read_part(vectors, sizeof(float));
  table.width = static_cast<std::size_t>(vectors.shape(1)) / sizeof(float);
  table.vectors_stride = static_cast<std::size_t>(vectors.strides(0));
  table.details =
      read_part(details, codes ? sizeof(VectorDetails) : offsetof(VectorDetails, scale));
  table.details_stride = static_cast<std::size_t>(details.strides(0));
  table.biased = biased;
  py::ssize_t least = std::min(vectors.shape(0), details.shape(0));
  if (codes.has_value() != coarse.has_value()) {
    throw OpError(ErrorKind::kShape, "expected codes of both kinds");
  }
  if (codes) {
    table.codes = read_codes(*codes, table.width);
    table.coarse = read_codes(*coarse, (table.width + 1) / 2);
    table.codes_stride = static_cast<std::size_t>(codes->shape(1));
    table.coarse_stride = static_cast<std::size_t>(coarse->shape(1));
    least = std::min({least, codes->shape(0), coarse->shape(0)});
    kept.insert(kept.end(), {*codes, *coarse});
  }
  const std::span given(rows.data(), static_cast<std::size_t>(rows.size()));
  const auto out = [&](std::int64_t row) { return row < 0 || row >= least; };
  if (rows.ndim() != 1 || std::ranges::any_of(given, out)) {
    throw OpError(ErrorKind::kShape, "expected rows of the records");
  }
  const GilRelease release;
  index = std::make_unique<VectorIndex>(table, given);
}

std::span<const std::uint64_t> read_mask(const IndexHandle& handle,
                                         const std::optional<PlainArray<std::uint64_t>>& mask) {
  if (!mask) return {};
  const auto size = static_cast<std::size_t>(mask->size());
  if (mask->ndim() != 1 || size != handle.index->blocks()) {
    throw OpError(ErrorKind::kShape, "expected a mask of the index");
  }
  return {mask->data(), size};
}

PlaceSet places_of(const VectorIndex& index, std::span<const std::int64_t> rows) {
  std::vector<std::uint32_t> places;
  places.reserve(rows.size());
  for (const std::int64_t row : rows) {
    const auto place = index.place_of(row);
    if (place) places.push_back(*place);
  }
  return PlaceSet(places);
}

}  // namespace pyrec
