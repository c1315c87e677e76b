#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <memory>
#include <vector>

#include "plan/record_writer.h"
#include "tables/item_store.h"

namespace pyrec {

// An array that a change of items brings.
struct WriterInput {
  DType dtype;
  int rank;
  int axis;   // of the rows
  int place;  // among the inputs of the plan of items; -1: none
};

// Puts items into a store without Python in its way. `owner` keeps the executor alive.
class ItemWriter {
 public:
  ItemWriter(pybind11::object owner, std::shared_ptr<ItemStore> store, RecordWriter writer,
             std::vector<WriterInput> inputs);

  // Computes the records of a batch from the arrays that the plan reads. False where something is
  // wrong, which who does the same in Python finds; the batch's records are any then.
  bool write(struct StoreBatch& batch, const pybind11::list& arrays) const;

  // Does all of a change with nothing unusual: an array for each of the inputs, exactly of their
  // types, ids that are all different, and a row of bytes for each that the parts of a record
  // behind the first have, or None where it has none. Else false, and nothing has changed.
  bool put(const pybind11::list& arrays, const pybind11::handle& ids,
           const pybind11::handle& rest) const;

 private:
  pybind11::object owner_;
  std::shared_ptr<ItemStore> store_;
  RecordWriter writer_;
  std::vector<WriterInput> inputs_;
};

void bind_item_writer(pybind11::module_& module);

}  // namespace pyrec
