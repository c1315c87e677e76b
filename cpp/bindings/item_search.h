#pragma once

#include <pybind11/numpy.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bindings/convert.h"
#include "bindings/index_handle.h"
#include "bindings/store_view.h"
#include "core/thread_pool.h"

namespace pyrec {

// Searches of one state of items as most calls ask for them: from queries and ids to ids and scores
// in one step.
class ItemSearch {
 public:
  // Places are those of the view's first set; `items` of the index are in the mask. Queries are
  // divided by their lengths where they are to be `scaled`, and scores are minus squares of
  // distances where products are `biased`.
  ItemSearch(pybind11::object view, pybind11::object index, const std::string& isa,
             pybind11::object pool, std::size_t few,
             const std::optional<PlainArray<std::uint64_t>>& mask, std::size_t items, bool scaled,
             bool biased, bool unsigned_ids);

  // Ids of the k best of each query, their scores, how many there are and how many products were
  // computed. None where the items have changed, and for what needs a closer look: queries or ids
  // that do not lie as they are read, or that may be refused, and large results.
  pybind11::object find(const pybind11::object& queries, std::size_t k,
                        const pybind11::object& exclude) const;

 private:
  bool exclude_from(const pybind11::object& given, std::size_t queries,
                    std::vector<PlaceSet>& sets) const;
  bool exclude_ids(const pybind11::handle& ids, std::vector<PlaceSet>& sets) const;
  pybind11::object ids_of(std::span<const std::int64_t> places,
                          std::span<const std::int64_t> counts, std::size_t k) const;

  pybind11::object kept_view_, kept_index_, kept_pool_;
  std::optional<PlainArray<std::uint64_t>> mask_;
  const StoreView& view_;
  const IndexHandle& handle_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  std::size_t few_;
  std::size_t items_;
  bool scaled_;
  bool biased_;
  bool unsigned_ids_;
};

}  // namespace pyrec
