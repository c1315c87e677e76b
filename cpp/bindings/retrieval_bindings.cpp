#include "bindings/retrieval_bindings.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bindings/convert.h"
#include "bindings/gil.h"
#include "bindings/index_handle.h"
#include "bindings/item_search.h"
#include "bindings/signals.h"
#include "core/error.h"
#include "retrieval/changed_places.h"
#include "retrieval/encode_vectors.h"

namespace py = pybind11;

namespace pyrec {

namespace {

py::tuple mask(const IndexHandle& handle, const PlainArray<bool>& flags,
               const std::optional<PlainArray<std::uint64_t>>& within) {
  const VectorIndex& index = *handle.index;
  const auto count = static_cast<std::size_t>(flags.size());
  if (flags.ndim() != 1 || (index.size() > 0 && index.row(index.size() - 1) >= count)) {
    throw OpError(ErrorKind::kShape, "expected a flag for each row");
  }
  const auto* const from = reinterpret_cast<const std::uint8_t*>(flags.data());
  const std::span also = read_mask(handle, within);
  PlainArray<std::uint64_t> made(static_cast<py::ssize_t>(index.blocks()));
  const std::span to(made.mutable_data(), index.blocks());
  std::size_t kept = 0;
  {
    const GilRelease release;
    kept = index.mask_of(from, also, to);
  }
  return py::make_tuple(made, kept);
}

// Room for another index that borrows what this one does.
std::unique_ptr<IndexHandle> of_same_items(const IndexHandle& handle) {
  auto made = std::make_unique<IndexHandle>();
  made->kept = handle.kept;
  made->items = handle.items;
  return made;
}

std::unique_ptr<IndexHandle> restricted(const IndexHandle& handle,
                                        const PlainArray<std::uint64_t>& mask, bool copied) {
  const std::span allowed = read_mask(handle, mask);
  const std::size_t last = handle.index->size() % VectorIndex::kBlock;
  if (last != 0 && (allowed.back() >> last) != 0) {
    throw OpError(ErrorKind::kShape, "expected a mask of the index");
  }
  auto made = of_same_items(handle);
  const GilRelease release;
  made->index = std::make_unique<VectorIndex>(*handle.index, allowed, copied);
  return made;
}

std::unique_ptr<IndexHandle> chosen(const IndexHandle& handle, const PlainArray<std::int64_t>& rows,
                                    const std::optional<PlainArray<std::uint64_t>>& mask) {
  const std::span allowed = read_mask(handle, mask);
  std::vector<std::int64_t> given(rows.data(), rows.data() + rows.size());
  std::ranges::sort(given);
  given.erase(std::unique(given.begin(), given.end()), given.end());
  auto made = of_same_items(handle);
  const GilRelease release;
  made->index = std::make_unique<VectorIndex>(*handle.index, given, allowed);
  return made;
}

// Rows that queries do not get, in one list, or in one for each.
std::vector<PlaceSet> read_excluded(const VectorIndex& index,
                                    const std::optional<PlainArray<std::int64_t>>& rows,
                                    const std::optional<PlainArray<std::int64_t>>& bounds,
                                    std::size_t queries) {
  std::vector<PlaceSet> excluded;
  if (!rows) return excluded;
  const std::span given(rows->data(), static_cast<std::size_t>(rows->size()));
  std::vector<std::int64_t> ends{0, rows->size()};
  if (bounds) ends.assign(bounds->data(), bounds->data() + bounds->size());
  const bool fits = (!bounds || ends.size() == queries + 1) && ends.front() == 0 &&
                    ends.back() == rows->size() && std::ranges::is_sorted(ends);
  if (!fits) throw OpError(ErrorKind::kShape, "expected bounds for each query");
  for (std::size_t list = 0; list + 1 < ends.size(); ++list) {
    const auto begin = static_cast<std::size_t>(ends[list]);
    const auto end = static_cast<std::size_t>(ends[list + 1]);
    excluded.push_back(places_of(index, given.subspan(begin, end - begin)));
  }
  return excluded;
}

// A number for each item, of all queries or of each; none.
Boosts::Numbers read_numbers(const std::optional<PlainArray<float>>& given, std::size_t queries,
                             std::size_t items) {
  if (!given) return {};
  const bool each = given->ndim() == 2;
  const bool fits =
      each ? static_cast<std::size_t>(given->shape(0)) == queries : given->ndim() == 1;
  if (!fits || static_cast<std::size_t>(given->shape(given->ndim() - 1)) != items) {
    throw OpError(ErrorKind::kShape, "expected a number for each item");
  }
  return {given->data(), each ? items : 0};
}

py::tuple search(const IndexHandle& handle, const std::string& isa, ThreadPool& pool,
                 const PlainArray<float>& queries, std::size_t k, std::size_t few,
                 const std::optional<PlainArray<std::uint64_t>>& mask,
                 const std::optional<PlainArray<std::int64_t>>& excluded,
                 const std::optional<PlainArray<std::int64_t>>& bounds,
                 const std::optional<PlainArray<float>>& times,
                 const std::optional<PlainArray<float>>& plus,
                 const std::optional<PlainArray<float>>& squares) {
  const VectorIndex& index = *handle.index;
  const Kernels& kernels = kernels_named(isa);
  if (queries.ndim() != 2 || static_cast<std::size_t>(queries.shape(1)) != index.table().width) {
    throw OpError(ErrorKind::kShape, "expected queries as wide as the vectors");
  }
  k = std::min(k, index.size());
  const std::vector<py::ssize_t> shape{queries.shape(0), static_cast<py::ssize_t>(k)};
  py::array_t<std::int64_t> places(shape), counts(queries.shape(0));
  py::array_t<float> scores(shape);
  std::int64_t* const to_places = places.mutable_data();
  std::int64_t* const to_counts = counts.mutable_data();
  float* const to_scores = scores.mutable_data();
  const float* const from = queries.data();
  const auto count = static_cast<std::size_t>(queries.shape(0));
  const std::vector<PlaceSet> sets = read_excluded(index, excluded, bounds, count);
  if (squares && (squares->ndim() != 1 || static_cast<std::size_t>(squares->size()) != count)) {
    throw OpError(ErrorKind::kShape, "expected a square for each query");
  }
  const Boosts boosts{read_numbers(times, count, handle.items),
                      read_numbers(plus, count, handle.items), squares ? squares->data() : nullptr};
  const SearchRules rules{read_mask(handle, mask), sets, boosts, few};
  std::size_t refined = 0;
  run_watched([&] {
    refined = index.search(kernels, pool, from, count, k, rules, to_places, to_scores, to_counts);
  });
  return py::make_tuple(places, scores, counts, refined);
}

// Whether the sum of each row's squares is less; not where one is no number.
bool are_shorter(const PlainArray<float>& vectors, double square) {
  if (vectors.ndim() != 2) throw OpError(ErrorKind::kShape, "expected a vector in each row");
  const auto width = static_cast<std::size_t>(vectors.shape(1));
  const std::span all(vectors.data(), static_cast<std::size_t>(vectors.size()));
  for (std::size_t begin = 0; begin < all.size(); begin += width) {
    double sum = 0;
    for (const float x : all.subspan(begin, width)) sum += double{x} * double{x};
    if (!(sum < square)) return false;
  }
  return true;
}

std::span<const std::int64_t> rows_of_state(const PlainArray<std::int64_t>& rows) {
  const std::span given(rows.data(), static_cast<std::size_t>(rows.size()));
  if (rows.ndim() != 1) throw OpError(ErrorKind::kShape, "expected rows of records");
  return given;
}

py::array_t<std::int64_t> array_of(const std::vector<std::int64_t>& numbers) {
  return py::array_t<std::int64_t>(static_cast<py::ssize_t>(numbers.size()), numbers.data());
}

py::object changed_places(const PlainArray<std::int64_t>& older,
                          const PlainArray<std::int64_t>& later, std::size_t most) {
  const std::span before = rows_of_state(older), after = rows_of_state(later);
  std::optional<ChangedPlaces> found;
  {
    const GilRelease release;
    found = find_changed(before, after, most);
  }
  if (!found) return py::none();
  return py::make_tuple(array_of(found->gone), array_of(found->own));
}

py::array_t<float> values_of_older(const PlainArray<float>& values,
                                   const PlainArray<std::int64_t>& gone,
                                   const PlainArray<std::int64_t>& own, std::size_t count) {
  if (values.ndim() == 0) throw OpError(ErrorKind::kShape, "expected a value for each item");
  std::vector<py::ssize_t> shape(values.shape(), values.shape() + values.ndim());
  const auto width = static_cast<std::size_t>(shape.back());
  shape.back() = 1;
  const auto rows = static_cast<std::size_t>(
      std::accumulate(shape.begin(), shape.end(), py::ssize_t{1}, std::multiplies<>{}));
  shape.back() = static_cast<py::ssize_t>(count);
  py::array_t<float> made(shape);
  const std::span before = rows_of_state(gone), after = rows_of_state(own);
  const float* const from = values.data();
  float* const to = made.mutable_data();
  const GilRelease release;
  for (std::size_t row = 0; row < rows; ++row) {
    if (!move_values(before, after, {from + row * width, width}, {to + row * count, count})) {
      throw OpError(ErrorKind::kShape, "expected places of both states");
    }
  }
  return made;
}

void require_vectors(const PlainArray<float>& vectors) {
  if (vectors.ndim() == 2 && vectors.shape(1) > 0) return;
  throw OpError(ErrorKind::kShape, "expected vectors");
}

py::array_t<double> squares_of(const PlainArray<float>& vectors) {
  require_vectors(vectors);
  py::array_t<double> squares(vectors.shape(0));
  const std::span<double> to(squares.mutable_data(), static_cast<std::size_t>(squares.size()));
  const float* const from = vectors.data();
  const auto width = static_cast<std::size_t>(vectors.shape(1));
  std::optional<GilRelease> release;
  if (to.size() * width > kLongBatch) release.emplace();
  square_vectors(from, width, to);
  return squares;
}

py::array_t<std::uint8_t> records_of(const PlainArray<float>& vectors, bool scaled, bool biased,
                                     bool coded) {
  require_vectors(vectors);
  const VectorEncoding form{static_cast<std::size_t>(vectors.shape(1)), scaled, biased, coded};
  const std::vector<py::ssize_t> shape{vectors.shape(0),
                                       static_cast<py::ssize_t>(form.record_bytes())};
  py::array_t<std::uint8_t> records(shape);
  const float* const from = vectors.data();
  auto* const to = reinterpret_cast<std::byte*>(records.mutable_data());
  const auto count = static_cast<std::size_t>(vectors.shape(0));
  std::optional<GilRelease> release;
  if (count * form.width > kLongBatch) release.emplace();
  encode_vectors(form, from, count, to);
  return records;
}

}  // namespace

void bind_retrieval(py::module_& module) {
  module.def("are_shorter", &are_shorter, py::arg("vectors"), py::arg("square"));
  module.def("changed_places", &changed_places, py::arg("older"), py::arg("later"),
             py::arg("most"));
  module.def("values_of_older", &values_of_older, py::arg("values"), py::arg("gone"),
             py::arg("own"), py::arg("count"));
  module.def("squares_of_vectors", &squares_of, py::arg("vectors"));
  module.def("records_of_vectors", &records_of, py::arg("vectors"), py::arg("scaled"),
             py::arg("biased"), py::arg("coded"));
  py::class_<IndexHandle>(module, "VectorIndex")
      .def(py::init<const py::array&, const py::array&, const std::optional<py::array>&,
                    const std::optional<py::array>&, const PlainArray<std::int64_t>&, bool>(),
           py::arg("vectors"), py::arg("details"), py::arg("codes"), py::arg("coarse"),
           py::arg("rows"), py::arg("biased"))
      .def("mask", &mask, py::arg("flags"), py::arg("within") = py::none())
      .def("restricted", &restricted, py::arg("mask"), py::arg("copied"))
      .def("chosen", &chosen, py::arg("rows"), py::arg("mask") = py::none())
      .def("size", [](const IndexHandle& handle) { return handle.index->size(); })
      .def("search", &search, py::arg("isa"), py::arg("pool"), py::arg("queries"), py::arg("k"),
           py::arg("few"), py::arg("mask") = py::none(), py::arg("excluded") = py::none(),
           py::arg("bounds") = py::none(), py::arg("times") = py::none(),
           py::arg("plus") = py::none(), py::arg("squares") = py::none());
  py::class_<ItemSearch>(module, "ItemSearch")
      .def(py::init<py::object, py::object, const std::string&, py::object, std::size_t,
                    const std::optional<PlainArray<std::uint64_t>>&, std::size_t, bool, bool,
                    bool>(),
           py::arg("view"), py::arg("index"), py::arg("isa"), py::arg("pool"), py::arg("few"),
           py::arg("mask"), py::arg("items"), py::arg("scaled"), py::arg("biased"),
           py::arg("unsigned_ids"))
      .def("find", &ItemSearch::find, py::arg("queries"), py::arg("k"), py::arg("exclude"));
}

}  // namespace pyrec
