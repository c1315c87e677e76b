#pragma once

#include <pybind11/numpy.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "bindings/convert.h"
#include "tables/item_store.h"

namespace pyrec {

// What a reader sees of a store: sets of its items, all of one state.
class StoreView {
 public:
  using Integers = PlainArray<std::int64_t>;

  StoreView(std::shared_ptr<ItemStore> store, const pybind11::args& sets);

  static pybind11::array part(const pybind11::object& self, std::size_t number);
  // Borrowed, read-only.
  static pybind11::array rows(const pybind11::object& self, std::size_t number);

  bool text() const { return store_->text(); }
  bool is_current() const { return store_->is_current(view_); }
  // The row of each key, or -1, in the state that is seen; false where that has changed.
  bool find(const Keys& keys, std::span<std::int64_t> rows) const;
  // The same; none where it has changed.
  pybind11::object rows_of(const pybind11::object& keys) const;
  // Which of a set were found: each once, by the order of the store.
  Integers order(std::size_t number) const;
  // The first thing that was looked for and not found, or -1.
  std::int64_t missing(std::size_t number) const;
  // The ids of chosen ones of a set, all of which were found: an array, or a list of strings.
  pybind11::object ids(std::size_t number, std::span<const std::int64_t> chosen) const;

 private:
  pybind11::list texts_at(std::span<const std::size_t> places) const;

  std::shared_ptr<ItemStore> store_;
  ItemStore::View view_;
  std::vector<ItemStore::Selection> selections_;
};

}  // namespace pyrec
