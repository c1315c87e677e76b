#pragma once

// Rows of a table times a matrix, kept for ids that come again.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "tables/region.h"

namespace pyrec {

// Places for the products of the ids that were missing last; the oldest make room. A product is a
// function of its id alone, so what is kept changes no result. Where ids hardly come again, all
// batches have the same places, which stay in the cache, but now and then.
class KeptProducts {
 public:
  // Products of `width` numbers, for batches of at most `most_ids` ids.
  KeptProducts(std::size_t width, std::size_t most_ids, std::size_t bytes);

  std::size_t most_ids() const { return most_ids_; }
  const float* products() const { return products_.data(); }

  // Gives each id the place of its product, and the ids whose products have to be written, in
  // order, from `first_missing` on; ids are not negative. Until they are written all is void.
  std::size_t place(std::span<const std::int64_t> ids, std::int64_t* places, std::int64_t* missing);
  float* first_missing() { return products_.data() + (next_ - missing_) * width_; }

 private:
  std::size_t slot_of(std::int64_t id) const;
  void count(std::size_t asked);

  std::size_t width_;
  std::size_t most_ids_;
  std::vector<std::int64_t> ids_;     // of each place; -1: none
  std::vector<std::uint32_t> slots_;  // the place that an id had last, by its hash
  int shift_;
  std::size_t next_ = 0;
  std::size_t missing_ = 0;
  std::size_t asked_ = 0;      // ids since it was last seen whether they come again,
  std::size_t not_found_ = 0;  // and those of them that were missing
  std::size_t resting_ = 0;    // ids of which nothing is kept from batch to batch
  Column<float> products_;
};

}  // namespace pyrec
