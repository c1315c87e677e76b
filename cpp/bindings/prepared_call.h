#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/row_reader.h"
#include "plan/executor.h"
#include "tables/item_store.h"

namespace pyrec {

// What a prepared call knows about its arguments.
struct PreparedSpec {
  std::size_t count = 0;            // positional arguments
  std::vector<std::size_t> places;  // for each input of the plan: which argument it is
  // Null, or where the items that are scored are stored. Then place `given()` stands for the
  // records and the next one for the items' rows in them, and `ids=` has to name the items.
  std::shared_ptr<const ItemStore> store;
  // The input of the plan and its axis that tell the number of candidates; a call without one has
  // one.
  std::optional<std::pair<std::size_t, int>> rows;
  std::int64_t most_rows = 0;
  std::vector<std::int64_t> width;  // sizes of a score after the axis of rows
  // Null, or what reads the only argument, a raw row; its inputs are what places are of then.
  std::shared_ptr<const RowReader> reader;
  // Whether values may be anything that `GivenValues` takes, and calls may name `offsets=` of
  // several requests, `k=`, how many of the best they want, and `shared=`, whether all candidates
  // are those of each request.
  bool lenient = false;

  // Places below it are of what a caller gives.
  std::size_t given() const { return reader ? reader->inputs() : count; }
};

// A callable for repeated calls: arrays by position, `out=` and, of stored items, `ids=`. It runs
// what needs no checking beyond a look at each value: NumPy arrays of the plan's ranks, of numbers,
// that lie aligned, and more if it is lenient. Every other call goes on to `general` with the same
// arguments, or returns None if that is None. `owner` keeps the executor alive.
//
// Gives scores, or with `k=` what `give_winners` does and the number of candidates.
pybind11::object make_prepared_call(pybind11::object owner, const Executor& executor,
                                    PreparedSpec spec, pybind11::object general);

// To be called once, when the module is made.
void make_prepared_type();

}  // namespace pyrec
