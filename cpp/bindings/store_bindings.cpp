#include "bindings/store_bindings.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bindings/convert.h"
#include "bindings/gil.h"
#include "bindings/given_keys.h"
#include "core/error.h"
#include "tables/item_store.h"
#include "tables/work.h"

namespace py = pybind11;

namespace pyrec {

namespace {

using Integers = PlainArray<std::int64_t>;

// What is borrowed is not to be written.
void forbid_writing(py::array& borrowed) {
  py::detail::array_proxy(borrowed.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
}

Integers to_array(const std::vector<std::int64_t>& values) {
  Integers made(static_cast<py::ssize_t>(values.size()));
  std::ranges::copy(values, made.mutable_data());
  return made;
}

class StoreView {
 public:
  StoreView(std::shared_ptr<ItemStore> store, const py::args& sets)
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

  static py::array records(const py::object& self) { return part(self, 0); }

  static py::array part(const py::object& self, std::size_t number) {
    const auto& view = self.cast<const StoreView&>().view_;
    if (number >= view.records().parts()) throw py::index_error("no such part");
    const auto stride = static_cast<py::ssize_t>(view.records().stride(number));
    const std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(view.capacity()), stride};
    py::array made(py::dtype::of<std::uint8_t>(), shape, {stride, py::ssize_t{1}},
                   view.records().row(0, number), self);
    forbid_writing(made);
    return made;
  }

  bool is_current() const { return store_->is_current(view_); }

  // The row of each key, or -1, in the state that is seen; none where that has changed.
  py::object rows_of(const py::object& keys) const {
    GivenKeys given;
    read_keys(keys, store_->text(), given);
    Integers rows(static_cast<py::ssize_t>(given.keys.size()));
    const std::span to(rows.mutable_data(), given.keys.size());
    bool current = false;
    {
      std::optional<GilRelease> release;
      if (to.size() > kLongBatch) release.emplace();
      current = store_->find_in(view_, given.keys, to);
    }
    return current ? py::object(rows) : py::object(py::none());
  }

  // Borrowed, read-only.
  static py::array rows(const py::object& self, std::size_t number) {
    const std::vector<std::int64_t>& rows =
        self.cast<const StoreView&>().selections_.at(number).rows;
    Integers made(static_cast<py::ssize_t>(rows.size()), rows.data(), self);
    forbid_writing(made);
    return made;
  }

  // Which of a set were found: each once, by the order of the store.
  Integers order(std::size_t number) const {
    const std::vector<std::int64_t>& places = selections_.at(number).places;
    std::vector<std::int64_t> order(selections_.at(number).rows.size());
    std::iota(order.begin(), order.end(), 0);
    if (places.empty()) return to_array(order);
    const auto place_of = [&](std::int64_t i) { return places[static_cast<std::size_t>(i)]; };
    std::erase_if(order, [&](std::int64_t i) { return place_of(i) < 0; });
    std::ranges::stable_sort(order, {}, place_of);
    const auto equal = std::ranges::unique(order, {}, place_of);
    order.erase(equal.begin(), equal.end());
    return to_array(order);
  }

  // The first thing that was looked for and not found, or -1.
  std::int64_t missing(std::size_t number) const {
    const std::vector<std::int64_t>& rows = selections_.at(number).rows;
    const auto found = std::ranges::find(rows, ItemIndex::kAbsent);
    return found == rows.end() ? -1 : found - rows.begin();
  }

  // The ids of chosen ones of a set, all of which were found.
  py::object ids(std::size_t number, const Integers& chosen) const {
    const ItemIndex& index = view_.index();
    const ItemStore::Selection& set = selections_.at(number);
    const std::span given(chosen.data(), static_cast<std::size_t>(chosen.size()));
    std::vector<std::size_t> places(given.size());
    for (std::size_t i = 0; i < given.size(); ++i) {
      const auto which = static_cast<std::size_t>(given[i]);
      const bool known = which < set.rows.size();
      if (!known || (!set.places.empty() && set.places[which] < 0)) {
        throw py::index_error("no such item");
      }
      places[i] = set.places.empty() ? which : static_cast<std::size_t>(set.places[which]);
      index.prefetch_id(places[i]);
    }
    if (index.text()) return texts_at(places);
    Integers numbers(chosen.size());
    std::int64_t* const to = numbers.mutable_data();
    for (std::size_t i = 0; i < places.size(); ++i) to[i] = index.number_at(places[i]);
    return numbers;
  }

 private:
  py::list texts_at(std::span<const std::size_t> places) const {
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

  std::shared_ptr<ItemStore> store_;
  ItemStore::View view_;
  std::vector<ItemStore::Selection> selections_;
};

void arrange(StoreBatch& self, const Integers& order) {
  std::vector<bool> seen(self.batch.size());
  const std::span given(order.data(), static_cast<std::size_t>(order.size()));
  for (const std::int64_t place : given) {
    const auto at = static_cast<std::size_t>(place);
    if (at >= seen.size() || seen[at]) throw OpError(ErrorKind::kShape, "expected an order");
    seen[at] = true;
  }
  if (given.size() != seen.size()) throw OpError(ErrorKind::kShape, "expected an order");
  self.batch.arrange(given);
}

void write(StoreBatch& self, std::size_t first,
           const py::array_t<std::uint8_t, py::array::c_style>& records, std::size_t part) {
  bool fits = records.ndim() == 2 && first <= self.batch.size() &&
              static_cast<std::size_t>(records.shape(0)) <= self.batch.size() - first;
  if (fits) {
    const auto* from = reinterpret_cast<const std::byte*>(records.data());
    const auto count = static_cast<std::size_t>(records.shape(0));
    const auto width = static_cast<std::size_t>(records.shape(1));
    std::optional<GilRelease> release;
    if (count > kLongBatch) release.emplace();
    fits = self.batch.write(first, from, count, width, part);
  }
  if (!fits) throw OpError(ErrorKind::kShape, "records that do not fit");
}

py::object last_of_each_given(const ItemStore& store, const py::object& keys) {
  GivenKeys given;
  read_keys(keys, store.text(), given);
  const std::vector<std::int64_t> kept = last_of_each(given.keys);
  return kept.empty() ? py::object(py::none()) : py::object(to_array(kept));
}

void put(ItemStore& store, const py::object& keys, StoreBatch& batch) {
  GivenKeys given;
  read_keys(keys, store.text(), given);
  // What room there has to be is worked out before they are put in: nobody may change them
  // meanwhile.
  own(given);
  if (batch.store.get() != &store || batch.batch.size() != given.keys.size()) {
    throw OpError(ErrorKind::kShape, "expected one record for each key");
  }
  const GilRelease release;
  store.put(given.keys, batch.batch);
}

std::size_t erase(ItemStore& store, const py::object& keys) {
  GivenKeys given;
  read_keys(keys, store.text(), given);
  const GilRelease release;
  return store.erase(given.keys);
}

}  // namespace

StoreBatch::StoreBatch(std::shared_ptr<ItemStore> made_for, std::size_t count)
    : store(std::move(made_for)), batch(*store) {
  const GilRelease release;
  store->take(count, batch);
}

void bind_store(py::module_& module) {
  module.def(
      "work_of_changes", [] { return work_of_changes; },
      "What changes of stores have looked at in this thread.");
  py::class_<StoreView>(module, "StoreView")
      .def_property_readonly("records", &StoreView::records)
      .def("part", &StoreView::part, py::arg("number"))
      .def("is_current", &StoreView::is_current)
      .def("rows", &StoreView::rows, py::arg("number"))
      .def("rows_of", &StoreView::rows_of, py::arg("keys"))
      .def("order", &StoreView::order, py::arg("number"))
      .def("missing", &StoreView::missing, py::arg("number"))
      .def("ids", &StoreView::ids, py::arg("number"), py::arg("chosen"));
  py::class_<StoreBatch>(module, "StoreBatch")
      .def("arrange", &arrange, py::arg("order"))
      .def("write", &write, py::arg("first"), py::arg("records"), py::arg("part") = 0);
  py::class_<ItemStore, std::shared_ptr<ItemStore>>(module, "ItemStore")
      .def(py::init<std::vector<std::size_t>, bool, std::size_t>(), py::arg("strides"),
           py::arg("text"), py::arg("room") = 0)
      .def("size", &ItemStore::size)
      .def("capacity", &ItemStore::capacity)
      .def("taken", &ItemStore::taken)
      .def("last_of_each", &last_of_each_given, py::arg("keys"))
      .def(
          "take",
          [](std::shared_ptr<ItemStore> store, std::size_t count) {
            return std::make_unique<StoreBatch>(std::move(store), count);
          },
          py::arg("count"))
      .def("put", &put, py::arg("keys"), py::arg("batch"))
      .def("erase", &erase, py::arg("keys"))
      .def("read", [](std::shared_ptr<ItemStore> store, const py::args& args) {
        return std::make_unique<StoreView>(std::move(store), args);
      });
}

}  // namespace pyrec
