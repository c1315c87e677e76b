#pragma once

// Sums, means and maxima of the rows of one table that stand in ranges of a list of ids.

#include "kernels/elementwise.inl.h"
#include "kernels/lookup_parts.inl.h"

namespace pyrec {
namespace {

inline bool is_padding(const Bags& bags, std::int64_t id) {
  return bags.padded && (id == bags.padding[0] || id == bags.padding[1]);
}

// Brings the rows of the ids that come next into the cache. Bags mostly follow each other in the
// ids; where they do not, these are other rows, and for a wrong id no row: what is not there is not
// fetched.
class BagsAhead {
 public:
  explicit BagsAhead(const Bags& bags)
      : table_(reinterpret_cast<std::uintptr_t>(bags.part.table)), stride_(bags.part.stride) {
    const std::size_t bytes = smaller(row_bytes(bags.part), kMostBytes);
    const bool aligned = table_ % kLineBytes == 0 && stride_ % kLineBytes == 0;
    lines_ = (bytes + kLineBytes - 1) / kLineBytes + (aligned ? 0 : 1);
    if (lines_ == 0) lines_ = 1;  // rows without columns
    ids_ = static_cast<std::int64_t>(lines_ * kFewest > kLines ? kFewest : kLines / lines_);
  }

  void start(const Bags& bags, std::int64_t place) const {
    for (std::int64_t i = 0; i < ids_; ++i) fetch(bags, place + i);
  }
  void after(const Bags& bags, std::int64_t place) const { fetch(bags, place + ids_); }

 private:
  static constexpr std::size_t kMostBytes = 512;  // the hardware follows longer rows by itself
  static constexpr std::size_t kLines = 40;
  static constexpr std::size_t kFewest = 8;

  void fetch(const Bags& bags, std::int64_t place) const {
    if (place >= bags.given) return;
    std::uintptr_t line = table_ + static_cast<std::uintptr_t>(bags.ids[place]) * stride_;
    __builtin_prefetch(reinterpret_cast<const void*>(line));
    if (lines_ > 1) [[unlikely]] {
      for (std::size_t i = 1; i < lines_; ++i) {
        line += kLineBytes;
        __builtin_prefetch(reinterpret_cast<const void*>(line));
      }
    }
    asm volatile("");  // as in prefetch_bytes
  }

  std::uintptr_t table_;
  std::size_t stride_;
  std::size_t lines_;
  std::int64_t ids_;
};

// Rows that are all of weight 1, rows with weights or padding, and rows for a maximum.
enum class Rows { kPlain, kSome, kLargest };

// What a bag's rows become, kVectors vectors from a column on; kPartial: the last has `last` lanes.
// Returns the place of a wrong id, or -1.
template <class Reader, int kVectors, bool kPartial, Rows kRows>
inline std::int64_t make_bag(const Bags& bags, std::size_t bag, std::size_t column,
                             std::size_t last, const BagsAhead& ahead, float* out) {
  constexpr bool kMax = kRows == Rows::kLargest, kPlain = kRows == Rows::kPlain;
  VecF sums[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) sums[v] = kMax ? broadcast(-__builtin_inff()) : VecF{};
  std::size_t kept = 0;
  float weights = 0.0f;
  const std::int64_t end = bags.bounds[2 * bag + 1] - bags.first;
  std::int64_t place = bags.bounds[2 * bag] - bags.first;
  if (kPlain && place < end) kept = static_cast<std::size_t>(end - place);
  for (; place < end; ++place) {
    ahead.after(bags, place);
    const std::int64_t id = bags.ids[place];
    if (!kPlain && is_padding(bags, id)) continue;
    auto at = static_cast<std::size_t>(id);
    if (at >= bags.size) [[unlikely]] {
      if (id < 0) at += bags.wrap;
      if (at >= bags.size) return bags.first + place;
    }
    if (!kPlain) ++kept;
    Reader row(bags.part.table + at * bags.part.stride, bags.part.width);
    row.skip(column);
    const float weight = kPlain || bags.weights == nullptr ? 1.0f : bags.weights[place];
    if (!kPlain) weights += weight;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const std::size_t j = static_cast<std::size_t>(v) * kLanes;
      const bool whole = !kPartial || v + 1 < kVectors;
      const VecF x = whole ? row.read(j) : row.read_first(j, last);
      if constexpr (kMax) {
        sums[v] = maximum(x, sums[v]);
      } else {
        sums[v] = kPlain ? sums[v] + x : multiply_add(broadcast(weight), x, sums[v]);
      }
    }
  }
  if (kMax && kept == 0) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[v] = VecF{};
  }
  const float count = bags.mode == BagMode::kWeightedMean ? weights : static_cast<float>(kept);
  const bool divide = !kMax && bags.mode != BagMode::kSum && kept > 0;
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
    if (divide) sums[v] = sums[v] / broadcast(count);
    float* p = out + static_cast<std::size_t>(v) * kLanes;
    if (kPartial && v + 1 == kVectors) {
      store_first(p, sums[v], last);
    } else {
      store(p, sums[v]);
    }
  }
  return -1;
}

// Bags [begin, end). Given by value: what is written could be any of its numbers otherwise.
template <class Reader, int kVectors, bool kPartial, Rows kRows>
std::int64_t make_bags(const Bags bags, std::size_t begin, std::size_t end, std::size_t column,
                       std::size_t last, float* out, std::size_t out_step) {
  const BagsAhead ahead(bags);
  // Bags before have fetched the rows of the next.
  if (begin == 0 && end > 0 && column == 0) ahead.start(bags, bags.bounds[0] - bags.first);
  for (std::size_t bag = begin; bag < end; ++bag) {
    const std::int64_t wrong = make_bag<Reader, kVectors, kPartial, kRows>(
        bags, bag, column, last, ahead, out + bag * out_step + column);
    if (wrong >= 0) return wrong;
  }
  return -1;
}

constexpr int kBagVectors = 8;  // as many as stay in registers

// Bags whose rows are still in the cache when their next columns are read; at least one.
inline std::size_t end_of_chunk(const Bags& bags, std::size_t begin) {
  constexpr std::int64_t kIds = 64;
  std::int64_t ids = 0;
  std::size_t end = begin;
  while (end < bags.count && ids < kIds) {
    ids += bags.bounds[2 * end + 1] - bags.bounds[2 * end];
    ++end;
  }
  return end;
}

template <class Reader, Rows kRows>
std::int64_t make_bags_of(const Bags& bags, float* out, std::size_t out_step) {
  using Block = decltype(&make_bags<Reader, 1, false, kRows>);
  const std::size_t width = bags.part.width;
  const auto block_of = [](std::size_t columns) -> Block {
    switch (columns / kLanes) {
      case 0:
        return make_bags<Reader, 1, true, kRows>;
      case 1:
        return make_bags<Reader, 1, false, kRows>;
      case 2:
      case 3:
        return make_bags<Reader, 2, false, kRows>;
      case 4:
      case 5:
      case 6:
      case 7:
        return make_bags<Reader, 4, false, kRows>;
      default:
        return make_bags<Reader, 8, false, kRows>;
    }
  };
  const auto columns_of = [](std::size_t columns) -> std::size_t {
    std::size_t vectors = kBagVectors;
    while (vectors * kLanes > columns && vectors > 1) vectors /= 2;
    return smaller(vectors * kLanes, columns);
  };
  if (columns_of(width) == width) {
    return block_of(width)(bags, 0, bags.count, 0, width, out, out_step);
  }
  for (std::size_t begin = 0; begin < bags.count;) {
    const std::size_t end = end_of_chunk(bags, begin);
    for (std::size_t column = 0; column < width;) {
      const std::size_t columns = columns_of(width - column);
      const std::int64_t wrong =
          block_of(columns)(bags, begin, end, column, columns, out, out_step);
      if (wrong >= 0) return wrong;
      column += columns;
    }
    begin = end;
  }
  return -1;
}

template <class Reader>
std::int64_t make_bags_of(const Bags& bags, float* out, std::size_t out_step) {
  if (bags.mode == BagMode::kMax) return make_bags_of<Reader, Rows::kLargest>(bags, out, out_step);
  const bool plain = bags.weights == nullptr && !bags.padded;
  return plain ? make_bags_of<Reader, Rows::kPlain>(bags, out, out_step)
               : make_bags_of<Reader, Rows::kSome>(bags, out, out_step);
}

std::int64_t embedding_bag_f32(const Bags& bags, float* out, std::size_t out_step) {
  return with_codec(bags.part.codec, [&](auto codec) {
    return make_bags_of<typename decltype(codec)::Reader>(bags, out, out_step);
  });
}

}  // namespace
}  // namespace pyrec
