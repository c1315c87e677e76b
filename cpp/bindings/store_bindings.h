#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <memory>

#include "tables/item_store.h"

namespace pyrec {

// Records that are being made, for a store.
struct StoreBatch {
  std::shared_ptr<ItemStore> store;
  ItemStore::Batch batch;

  StoreBatch(std::shared_ptr<ItemStore> made_for, std::size_t count);
};

void bind_store(pybind11::module_& module);

}  // namespace pyrec
