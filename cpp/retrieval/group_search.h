#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "core/thread_pool.h"
#include "dispatch/kernels.h"
#include "retrieval/scan.h"
#include "retrieval/vector_index.h"

namespace pyrec {

// Searches for groups of queries on all threads.
class GroupSearch {
 public:
  using Found = std::vector<std::vector<Entry>>;  // of each query

  GroupSearch(const VectorIndex& index, const Kernels& kernels, ThreadPool& pool)
      : index_(index), kernels_(kernels), pool_(pool) {}

  // The k best of each query, best first.
  Found find(QueryGroup& group);
  // How many scores were computed.
  std::size_t refined() const { return refined_; }

 private:
  using Scans = std::vector<std::unique_ptr<Scan>>;  // of each thread, once it has a part

  template <class Use>
  void on_parts(Use use);
  template <class Look>
  Found on_threads(QueryGroup& group, Look look);
  Scan& scan_of(Scans& scans, std::size_t worker, QueryGroup& group) const;
  std::vector<std::size_t> parts() const;
  Found found_by(const Scans& scans, std::size_t queries);
  bool has_few(const QueryGroup& group) const;
  Found search_nearly(QueryGroup& group);
  Found search_many(QueryGroup& group);
  Found search(QueryGroup& group);
  Found search_above_guess(QueryGroup& group, std::size_t rank);

  const VectorIndex& index_;
  const Kernels& kernels_;
  ThreadPool& pool_;
  std::size_t refined_ = 0;
};

}  // namespace pyrec
