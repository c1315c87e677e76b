#pragma once

// Sums, means and maxima of the rows of one table that stand in ranges of a list of ids.

#include "kernels/elementwise.inl.h"
#include "kernels/lookup_parts.inl.h"

namespace pyrec {
namespace {

inline bool is_padding(const Bags& bags, std::int64_t id) {
  return bags.padded && id == bags.padding;
}

// Not less than the table's size for an id outside it.
inline std::size_t row_of(const Bags& bags, std::int64_t id) {
  const auto row = static_cast<std::size_t>(id);
  return id < 0 ? row + bags.size : row;
}

// Walks the ids of all bags ahead of the sums: checks them and prefetches their rows.
class IdsAhead {
 public:
  IdsAhead(const Bags& bags, std::size_t begin)
      : bags_(bags), bag_(begin), bytes_(row_bytes(bags.part)) {}

  // To the next id; false if that is outside the table.
  bool step() {
    while (place_ == end_) {
      if (bag_ == bags_.count) return true;
      place_ = bags_.bounds[2 * bag_] - bags_.first;
      end_ = bags_.bounds[2 * bag_ + 1] - bags_.first;
      ++bag_;
    }
    const std::int64_t id = bags_.ids[place_];
    const std::size_t row = row_of(bags_, id);
    if (row >= bags_.size) {
      if (!is_padding(bags_, id)) return false;
    } else {
      prefetch_lines(bags_.part.table + row * bags_.part.stride);
    }
    ++place_;
    return true;
  }
  // In all the ids.
  std::int64_t place() const { return bags_.first + place_; }

 private:
  // The hardware follows longer rows by itself.
  void prefetch_lines(const unsigned char* row) const {
    constexpr std::size_t kMost = 512;
    const auto begin = reinterpret_cast<std::uintptr_t>(row);
    const std::uintptr_t end = begin + smaller(bytes_, kMost);
    for (std::uintptr_t line = begin / kLineBytes * kLineBytes; line < end; line += kLineBytes) {
      __builtin_prefetch(reinterpret_cast<const void*>(line));
    }
    asm volatile("");  // as in prefetch_bytes
  }

  const Bags& bags_;
  std::size_t bag_;
  std::size_t bytes_;
  std::int64_t place_ = 0;
  std::int64_t end_ = 0;
};

// What a bag's rows become, kVectors vectors from a column on; kPartial: the last has `last` lanes.
template <class Reader, int kVectors, bool kPartial, bool kMax>
inline bool make_bag(const Bags& bags, std::size_t bag, std::size_t column, std::size_t last,
                     IdsAhead& ahead, float* out) {
  VecF sums[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) sums[v] = kMax ? broadcast(-__builtin_inff()) : VecF{};
  std::size_t kept = 0;
  float weights = 0.0f;
  const std::int64_t end = bags.bounds[2 * bag + 1] - bags.first;
  for (std::int64_t place = bags.bounds[2 * bag] - bags.first; place < end; ++place) {
    if (!ahead.step()) return false;
    const std::int64_t id = bags.ids[place];
    if (is_padding(bags, id)) continue;
    ++kept;
    Reader row(bags.part.table + row_of(bags, id) * bags.part.stride, bags.part.width);
    row.skip(column);
    const float weight = bags.weights == nullptr ? 1.0f : bags.weights[place];
    weights += weight;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const std::size_t j = static_cast<std::size_t>(v) * kLanes;
      const bool whole = !kPartial || v + 1 < kVectors;
      const VecF x = whole ? row.read(j) : row.read_first(j, last);
      sums[v] = kMax ? maximum(x, sums[v]) : multiply_add(broadcast(weight), x, sums[v]);
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
  return true;
}

constexpr std::size_t kIdsAhead = 24;

// Bags [begin, end).
template <class Reader, int kVectors, bool kPartial, bool kMax>
std::int64_t make_bags(const Bags& bags, std::size_t begin, std::size_t end, std::size_t column,
                       std::size_t last, float* out, std::size_t out_step) {
  IdsAhead ahead(bags, begin);
  for (std::size_t i = 0; i < kIdsAhead; ++i) {
    if (!ahead.step()) return ahead.place();
  }
  for (std::size_t bag = begin; bag < end; ++bag) {
    const bool right = make_bag<Reader, kVectors, kPartial, kMax>(bags, bag, column, last, ahead,
                                                                  out + bag * out_step + column);
    if (!right) return ahead.place();
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

template <class Reader, bool kMax>
std::int64_t make_bags_of(const Bags& bags, float* out, std::size_t out_step) {
  using Block = decltype(&make_bags<Reader, 1, false, kMax>);
  const std::size_t width = bags.part.width;
  const auto block_of = [](std::size_t columns) -> Block {
    switch (columns / kLanes) {
      case 0:
        return make_bags<Reader, 1, true, kMax>;
      case 1:
        return make_bags<Reader, 1, false, kMax>;
      case 2:
      case 3:
        return make_bags<Reader, 2, false, kMax>;
      case 4:
      case 5:
      case 6:
      case 7:
        return make_bags<Reader, 4, false, kMax>;
      default:
        return make_bags<Reader, 8, false, kMax>;
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
  return bags.mode == BagMode::kMax ? make_bags_of<Reader, true>(bags, out, out_step)
                                    : make_bags_of<Reader, false>(bags, out, out_step);
}

// Rows of float16 numbers.
struct HalfReader {
  HalfReader(const unsigned char* row, std::size_t)
      : row(reinterpret_cast<const std::uint16_t*>(row)) {}
  VecF read(std::size_t j) const { return load_half(row + j); }
  VecF read_first(std::size_t j, std::size_t count) const {
    std::uint16_t x[kLanes] = {};
    for (std::size_t i = 0; i < count; ++i) x[i] = row[j + i];
    return load_half(x);
  }
  void skip(std::size_t count) { row += count; }
  const std::uint16_t* row;
};

std::int64_t embedding_bag_f32(const Bags& bags, float* out, std::size_t out_step) {
  if (bags.halves) return make_bags_of<HalfReader>(bags, out, out_step);
  switch (bags.part.codec) {
    case Codec::kF32:
      return make_bags_of<RowReader<Codec::kF32>>(bags, out, out_step);
    case Codec::kBf16:
      return make_bags_of<RowReader<Codec::kBf16>>(bags, out, out_step);
    case Codec::kI8:
      return make_bags_of<RowReader<Codec::kI8>>(bags, out, out_step);
  }
  return -1;
}

}  // namespace
}  // namespace pyrec
