#include "bindings/store_view.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>

#include "bindings/gil.h"
#include "bindings/given_keys.h"

namespace py = pybind11;

namespace pyrec {

namespace {

// What is borrowed is not to be written.
void forbid_writing(py::array& borrowed) {
  py::detail::array_proxy(borrowed.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
}

}  // namespace

StoreView::StoreView(std::shared_ptr<ItemStore> store, const py::args& sets)
    : store_(std::move(store)), selections_(sets.size()) {
  std::vector<GivenKeys> given(sets.size());
  std::size_t most = 0;
  for (std::size_t i = 0; i < sets.size(); ++i) {
    if (!sets[i].is_none()) {
      read_keys(sets[i], store_->text(), given[i]);
      selections_[i].keys = &given[i].keys;
    }
    most = std::max(most, sets[i].is_none() ? store_->size() : given[i].keys.size());
  }
  std::optional<GilRelease> release;
  if (most > kLongBatch) release.emplace();
  store_->read(view_, selections_);
}

py::array StoreView::part(const py::object& self, std::size_t number) {
  const auto& view = self.cast<const StoreView&>().view_;
  if (number >= view.records().parts()) throw py::index_error("no such part");
  const auto stride = static_cast<py::ssize_t>(view.records().stride(number));
  const std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(view.capacity()), stride};
  py::array made(py::dtype::of<std::uint8_t>(), shape, {stride, py::ssize_t{1}},
                 view.records().row(0, number), self);
  forbid_writing(made);
  return made;
}

py::array StoreView::rows(const py::object& self, std::size_t number) {
  const std::vector<std::int64_t>& rows = self.cast<const StoreView&>().selections_.at(number).rows;
  Integers made(static_cast<py::ssize_t>(rows.size()), rows.data(), self);
  forbid_writing(made);
  return made;
}

bool StoreView::find(const Keys& keys, std::span<std::int64_t> rows) const {
  std::optional<GilRelease> release;
  if (rows.size() > kLongBatch) release.emplace();
  return store_->find_in(view_, keys, rows);
}

py::object StoreView::rows_of(const py::object& keys) const {
  GivenKeys given;
  read_keys(keys, text(), given);
  Integers rows(static_cast<py::ssize_t>(given.keys.size()));
  if (!find(given.keys, {rows.mutable_data(), given.keys.size()})) return py::none();
  return rows;
}

StoreView::Integers StoreView::order(std::size_t number) const {
  const std::vector<std::int64_t>& places = selections_.at(number).places;
  std::vector<std::int64_t> order(selections_.at(number).rows.size());
  std::iota(order.begin(), order.end(), 0);
  if (!places.empty()) {
    const auto place_of = [&](std::int64_t i) { return places[static_cast<std::size_t>(i)]; };
    std::erase_if(order, [&](std::int64_t i) { return place_of(i) < 0; });
    std::ranges::stable_sort(order, {}, place_of);
    const auto equal = std::ranges::unique(order, {}, place_of);
    order.erase(equal.begin(), equal.end());
  }
  return Integers(static_cast<py::ssize_t>(order.size()), order.data());
}

std::int64_t StoreView::missing(std::size_t number) const {
  const std::vector<std::int64_t>& rows = selections_.at(number).rows;
  const auto found = std::ranges::find(rows, ItemIndex::kAbsent);
  return found == rows.end() ? -1 : found - rows.begin();
}

py::object StoreView::ids(std::size_t number, std::span<const std::int64_t> chosen) const {
  const ItemIndex& index = view_.index();
  const ItemStore::Selection& set = selections_.at(number);
  std::vector<std::size_t> places(chosen.size());
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const auto which = static_cast<std::size_t>(chosen[i]);
    const bool known = which < set.rows.size();
    if (!known || (!set.places.empty() && set.places[which] < 0)) {
      throw py::index_error("no such item");
    }
    places[i] = set.places.empty() ? which : static_cast<std::size_t>(set.places[which]);
    index.prefetch_id(places[i]);
  }
  if (index.text()) return texts_at(places);
  Integers numbers(static_cast<py::ssize_t>(chosen.size()));
  std::int64_t* const to = numbers.mutable_data();
  for (std::size_t i = 0; i < places.size(); ++i) to[i] = index.number_at(places[i]);
  return numbers;
}

py::list StoreView::texts_at(std::span<const std::size_t> places) const {
  for (const std::size_t place : places) view_.index().prefetch_text(place);
  py::list made;
  for (const std::size_t place : places) {
    const std::string_view text = view_.index().text_at(place);
    PyObject* const item =
        PyUnicode_DecodeUTF8(text.data(), static_cast<py::ssize_t>(text.size()), "surrogatepass");
    if (item == nullptr) throw py::error_already_set();
    made.append(py::reinterpret_steal<py::str>(item));
  }
  return made;
}

}  // namespace pyrec
