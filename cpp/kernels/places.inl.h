#pragma once

// Where numbers lie among others that rise.

#include <cstring>

#include "dispatch/kernels.h"

namespace pyrec {
namespace {

// Comparing vectors of numbers with a key takes as long as this share of the blocks that each of
// the numbers would be compared with.
constexpr std::size_t kBlocksPerKey = kLanes < 8 ? 4 : 2;

inline std::uint16_t place_or(float x, std::size_t place, std::uint16_t missing) {
  return x == x ? static_cast<std::uint16_t>(place) : missing;
}

// The keys one after another.
void compare_all(const float* all, std::size_t keys, const float* x, std::size_t n,
                 std::uint16_t first, std::uint16_t missing, std::uint16_t* places) {
  constexpr std::size_t kVectors = 4;
  for (std::size_t i = 0; i < n; i += kVectors * kLanes) {
    const std::size_t count = n - i < kVectors * kLanes ? n - i : kVectors * kLanes;
    float values[kVectors * kLanes] = {};
    const float* from = x + i;
    if (count < kVectors * kLanes) {
      std::memcpy(values, from, count * sizeof(float));
      from = values;
    }
    VecF value[kVectors];
    VecU place[kVectors];
#pragma GCC unroll 4
    for (std::size_t v = 0; v < kVectors; ++v) {
      value[v] = load(from + v * kLanes);
      place[v] = VecU{} + std::uint32_t{first};
    }
    for (std::size_t k = 0; k < keys; ++k) {
      const VecF key = broadcast(all[k]);
#pragma GCC unroll 4
      for (std::size_t v = 0; v < kVectors; ++v) {
        place[v] = count_up(place[v], less(key, value[v]));
      }
    }
    std::int32_t found[kVectors * kLanes];
    for (std::size_t v = 0; v < kVectors; ++v) store(found + v * kLanes, place[v]);
    for (std::size_t j = 0; j < count; ++j) {
      places[i + j] = place_or(from[j], static_cast<std::size_t>(found[j]), missing);
    }
  }
}

template <std::size_t kLevels>
void descend_all(const PlaceTree& tree, const float* x, std::size_t n, std::uint16_t first,
                 std::uint16_t missing, std::uint16_t* places) {
  for (std::size_t i = 0; i < n; ++i) {
    const VecF value = broadcast(x[i]);
    std::size_t place = 0;
#pragma GCC unroll 4
    for (std::size_t level = 0; level < kLevels; ++level) {
      place = kPlaceKeys * place + count_less_of_16(tree.levels[level] + kPlaceKeys * place, value);
    }
    places[i] = place_or(x[i], place + first, missing);
  }
}

void find_places_f32(const PlaceTree& tree, const float* x, std::size_t n, std::uint16_t first,
                     std::uint16_t missing, std::uint16_t* places) {
  if (kBlocksPerKey * tree.keys <= tree.count * n) {
    return compare_all(tree.levels[tree.count - 1], tree.keys, x, n, first, missing, places);
  }
  switch (tree.count) {
    case 1:
      return descend_all<1>(tree, x, n, first, missing, places);
    case 2:
      return descend_all<2>(tree, x, n, first, missing, places);
    case 3:
      return descend_all<3>(tree, x, n, first, missing, places);
    default:
      return descend_all<4>(tree, x, n, first, missing, places);
  }
}

void rank_places_i8(const PlaceWindow& window, const std::uint16_t* __restrict places,
                    std::size_t n, std::int8_t* __restrict ranks) {
  const std::uint16_t first = window.first, missing = window.missing;
  const std::uint16_t absent = window.absent, flip = window.reversed ? 0x7f : 0x80;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint16_t place = places[i];
    const auto behind = static_cast<std::uint16_t>(place < first ? 0 : place - first);
    const std::uint16_t within = behind > 255 ? std::uint16_t{255} : behind;
    const std::uint16_t rank = place == missing ? absent : within;
    ranks[i] = static_cast<std::int8_t>(static_cast<std::uint8_t>(rank ^ flip));
  }
}

}  // namespace
}  // namespace pyrec
