#include "bindings/store_bindings.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "bindings/convert.h"
#include "bindings/gil.h"
#include "bindings/given_keys.h"
#include "bindings/store_view.h"
#include "core/error.h"
#include "tables/item_store.h"
#include "tables/work.h"

namespace py = pybind11;

namespace pyrec {

namespace {

using Integers = PlainArray<std::int64_t>;

Integers to_array(const std::vector<std::int64_t>& values) {
  Integers made(static_cast<py::ssize_t>(values.size()));
  std::ranges::copy(values, made.mutable_data());
  return made;
}

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
      .def_property_readonly("records",
                             [](const py::object& self) { return StoreView::part(self, 0); })
      .def("part", &StoreView::part, py::arg("number"))
      .def("is_current", &StoreView::is_current)
      .def("rows", &StoreView::rows, py::arg("number"))
      .def("rows_of", &StoreView::rows_of, py::arg("keys"))
      .def("order", &StoreView::order, py::arg("number"))
      .def("missing", &StoreView::missing, py::arg("number"))
      .def(
          "ids",
          [](const StoreView& view, std::size_t number, const Integers& chosen) {
            return view.ids(number, {chosen.data(), static_cast<std::size_t>(chosen.size())});
          },
          py::arg("number"), py::arg("chosen"));
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
