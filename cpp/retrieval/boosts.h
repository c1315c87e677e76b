#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace pyrec {

// What a product becomes before it is compared: score * times + plus, each step rounded to float32.
// The score is the product, or with `squares` that of its query's distance, min(2 * product -
// squares[query], 0).
struct Boosts {
  // By place; those of query q begin at q times the stride, which is 0 where they are of all.
  struct Numbers {
    const float* values = nullptr;
    std::size_t stride = 0;

    const float* of(std::size_t query) const { return values + query * stride; }
  };

  Numbers times;  // 1 where there are none
  Numbers plus;   // 0
  const float* squares = nullptr;

  bool any() const { return times.values != nullptr || plus.values != nullptr; }
  // Those of the queries from number `first` on.
  Boosts from(std::size_t first) const;
  // Replaces a query's products with items of some places.
  void apply(std::size_t query, std::span<const std::uint32_t> places, float* products) const;
};

// What products of a block's items have to reach. docs/retrieval.md has the proof.
class BlockBoosts {
 public:
  BlockBoosts(const Boosts& boosts, std::size_t queries);

  void look_at(std::span<const std::uint32_t> places);
  // Writes for each query what no product is below whose boosted score is not below least[query]:
  // plus infinity where there is none.
  void need(std::span<const float> least, std::span<float> needed) const;

 private:
  struct Range {
    float least;
    float most;
  };

  void read(const Boosts::Numbers& numbers, std::span<const std::uint32_t> places,
            std::vector<Range>& ranges) const;

  const Boosts& boosts_;
  std::vector<Range> times_;  // of each query, or of all
  std::vector<Range> plus_;
};

}  // namespace pyrec
