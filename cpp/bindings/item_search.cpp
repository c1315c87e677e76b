#include "bindings/item_search.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "bindings/given_keys.h"
#include "bindings/signals.h"
#include "retrieval/encode_vectors.h"

namespace py = pybind11;

namespace pyrec {

namespace {

// Squares of the lengths of vectors that any search takes are less.
constexpr double kSurelyShort = 0x1p119;

// What any call may hold.
constexpr std::size_t kSmallResult = std::size_t{1} << 20;
constexpr std::size_t kBytesOfResult = 64;

// Whether a list has a list of ids in it, and no id.
bool is_by_query(const py::object& given) {
  if (!PyList_CheckExact(given.ptr()) || PyList_GET_SIZE(given.ptr()) == 0) return false;
  PyObject* const first = PyList_GET_ITEM(given.ptr(), 0);
  return PyList_CheckExact(first) || is_plain_array(first);
}

}  // namespace

ItemSearch::ItemSearch(py::object view, py::object index, const std::string& isa, py::object pool,
                       std::size_t few, const std::optional<PlainArray<std::uint64_t>>& mask,
                       std::size_t items, bool scaled, bool biased, bool unsigned_ids)
    : kept_view_(std::move(view)),
      kept_index_(std::move(index)),
      kept_pool_(std::move(pool)),
      mask_(mask),
      view_(kept_view_.cast<const StoreView&>()),
      handle_(kept_index_.cast<const IndexHandle&>()),
      kernels_(kernels_named(isa)),
      pool_(kept_pool_.cast<ThreadPool&>()),
      few_(few),
      items_(std::min(items, handle_.index->size())),
      scaled_(scaled),
      biased_(biased),
      unsigned_ids_(unsigned_ids) {
  read_mask(handle_, mask_);
}

py::object ItemSearch::find(const py::object& queries, std::size_t k,
                            const py::object& exclude) const {
  const VectorIndex& index = *handle_.index;
  const std::size_t width = index.table().width;
  if (!is_plain_array(queries) || !py::isinstance<PlainArray<float>>(queries)) return py::none();
  const auto given = py::reinterpret_borrow<PlainArray<float>>(queries);
  const bool fits = given.ndim() == 1 || given.ndim() == 2;
  if (!fits || static_cast<std::size_t>(given.shape(given.ndim() - 1)) != width) return py::none();
  const auto count = static_cast<std::size_t>(given.size()) / width;
  k = std::min(k, items_);
  if (count > kSmallResult / kBytesOfResult / std::max<std::size_t>(k, 1)) return py::none();
  std::vector<double> squares(count);
  // Whoever has the array may change it meanwhile.
  std::vector<float> own(given.data(), given.data() + given.size());
  square_vectors(own.data(), width, squares);
  if (!std::ranges::all_of(squares, [](double square) { return square < kSurelyShort; })) {
    return py::none();
  }
  std::vector<PlaceSet> sets;
  if (exclude.is_none() ? !view_.is_current() : !exclude_from(exclude, count, sets)) {
    return py::none();
  }
  for (std::size_t query = 0; scaled_ && query < count; ++query) {
    scale_vector(squares[query], std::span(own).subspan(query * width, width));
  }
  const std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(count),
                                       static_cast<py::ssize_t>(k)};
  py::array_t<float> scores(shape);
  StoreView::Integers counts(static_cast<py::ssize_t>(count));
  std::vector<std::int64_t> places(count * k);
  float* const to_scores = scores.mutable_data();
  std::int64_t* const to_counts = counts.mutable_data();
  const SearchRules rules{read_mask(handle_, mask_), sets, {}, few_};
  std::size_t refined = 0;
  run_watched([&] {
    refined = index.search(kernels_, pool_, own.data(), count, k, rules, places.data(), to_scores,
                           to_counts);
  });
  for (std::size_t i = 0; biased_ && i < places.size(); ++i) {
    const auto square = static_cast<float>(squares[i / k]);
    to_scores[i] = std::min(2 * to_scores[i] - square, 0.0f);
  }
  return py::make_tuple(ids_of(places, {to_counts, count}, k), scores, counts, refined);
}

// False where the ids need a closer look, or the items have changed.
bool ItemSearch::exclude_from(const py::object& given, std::size_t queries,
                              std::vector<PlaceSet>& sets) const {
  if (unsigned_ids_) return false;
  if (!is_by_query(given)) return exclude_ids(given, sets);
  const auto lists = py::reinterpret_borrow<py::list>(given);
  if (lists.size() != queries) return false;
  return std::ranges::all_of(lists, [&](const py::handle& ids) { return exclude_ids(ids, sets); });
}

bool ItemSearch::exclude_ids(const py::handle& ids, std::vector<PlaceSet>& sets) const {
  GivenKeys keys;
  if (!read_plain_keys(ids, view_.text(), keys)) return false;
  std::vector<std::int64_t> rows(keys.keys.size());
  if (!view_.find(keys.keys, rows)) return false;
  sets.push_back(places_of(*handle_.index, rows));
  return true;
}

// Beyond a query's count ids are 0, or empty strings.
py::object ItemSearch::ids_of(std::span<const std::int64_t> places,
                              std::span<const std::int64_t> counts, std::size_t k) const {
  py::object found = view_.ids(0, places);
  const auto each_absent = [&](auto&& clear) {
    for (std::size_t query = 0; query < counts.size(); ++query) {
      for (auto i = static_cast<std::size_t>(counts[query]); i < k; ++i) clear(query * k + i);
    }
  };
  if (view_.text()) {
    const auto texts = py::reinterpret_borrow<py::list>(found);
    each_absent([&](std::size_t i) { texts[i] = py::str(); });
    return found;
  }
  auto numbers = py::reinterpret_borrow<StoreView::Integers>(found);
  each_absent([&, to = numbers.mutable_data()](std::size_t i) { to[i] = 0; });
  return numbers.reshape({static_cast<py::ssize_t>(counts.size()), static_cast<py::ssize_t>(k)});
}

}  // namespace pyrec
