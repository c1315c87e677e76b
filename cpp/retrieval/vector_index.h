#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/thread_pool.h"
#include "dispatch/kernels.h"

namespace pyrec {

// The vectors of one state of a store, and the search for those with the largest products. A score
// is the bias of the item and then one chain of multiply_add over the numbers in order, whatever
// else is searched for at the same time. Immutable; the records have to outlive it.
class VectorIndex {
 public:
  // Records begin with `width` floats and the bias; aligned for float.
  struct Table {
    const std::byte* records;
    std::size_t stride;
    std::size_t width;
    bool biased;
  };

  // `rows` of all items in order, all different.
  VectorIndex(const Table& table, std::span<const std::int64_t> rows);

  std::size_t size() const { return rows_.size(); }
  std::size_t width() const { return table_.width; }

  // For each of `count` queries, `width` floats each, the places of the k items with the largest
  // scores and these: best first, equal scores by place. k is at most size(). Queries and biases
  // are finite, and so small that no sum overflows.
  void search(const Kernels& kernels, ThreadPool& pool, const float* queries, std::size_t count,
              std::size_t k, std::int64_t* places, float* scores) const;

 private:
  class Scan;
  struct Group;

  std::span<const std::uint32_t> places_of(std::size_t block) const;
  const float* vector(std::size_t number) const;
  bool is_run(std::size_t begin, std::size_t count) const;
  void search_group(const Kernels& kernels, ThreadPool& pool, const Group& group) const;

  Table table_;
  // By row: those that hold an item, and its place in the order.
  std::vector<std::uint32_t> rows_;
  std::vector<std::uint32_t> places_;
};

}  // namespace pyrec
