#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "codecs/codec.h"
#include "core/thread_pool.h"
#include "plan/executor.h"
#include "tables/item_store.h"

namespace pyrec {

// One output of a plan of items, as it lies in an item's record.
struct RecordField {
  DType dtype;
  int axis;                    // of the rows
  std::size_t elements;        // of one item
  std::size_t offset;          // in bytes
  std::optional<Codec> codec;  // of float32 numbers; else its elements lie there as they are

  std::size_t size() const {
    return codec ? row_bytes(*codec, elements) : elements * item_size(dtype);
  }
  // Whether its elements lie in a record as they lie in memory.
  bool is_plain() const { return !codec || *codec == Codec::kF32; }
};

// Computes the records of items where a store keeps them: tile by tile, so that what is between
// stays in the cache. Immutable; any number of threads may call it.
class RecordWriter {
 public:
  // A field for each output of the executor, all within `stride` bytes.
  RecordWriter(std::shared_ptr<const Executor> executor, std::shared_ptr<ThreadPool> pool,
               std::vector<RecordField> fields, std::size_t stride);

  const Executor& executor() const { return *executor_; }

  // An input for each of the executor's, with `batch.size()` rows. Throws what the executor does;
  // rows in errors count from their tile.
  void write(std::span<const Tensor> inputs, ItemStore::Batch& batch) const;

 private:
  void write_tile(std::span<const Tensor> inputs, std::size_t begin, std::size_t count,
                  ItemStore::Batch& batch) const;
  std::vector<Tensor> places(std::size_t begin, std::size_t count, ItemStore::Batch& batch) const;

  std::shared_ptr<const Executor> executor_;
  std::shared_ptr<ThreadPool> pool_;
  std::vector<RecordField> fields_;
  std::size_t stride_;
  std::vector<std::pair<std::size_t, std::size_t>> gaps_;  // bytes of a record that no field has
};

}  // namespace pyrec
