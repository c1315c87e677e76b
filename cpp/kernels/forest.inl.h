#pragma once

// The leaves of a tree that rows end at, by striking out those that they do not reach, and votes.

#include <cstring>

#include "dispatch/kernels.h"

namespace pyrec {
namespace {

constexpr std::size_t kByteLanes = 4 * kLanes;
using Bytes = std::uint8_t __attribute__((vector_size(kByteLanes)));

template <std::size_t kParts>
void find_leaves(const LeafTest* tests, const std::uint16_t* counts, std::size_t planes,
                 const std::int8_t* ranks, std::uint8_t* leaves) {
  Bytes eight[kParts] = {}, first[kParts] = {};
  for (std::size_t plane = planes; plane-- > 0; ++counts) {
    Bytes kept[kParts];
#pragma GCC unroll 4
    for (Bytes& part : kept) part = ~Bytes{};
    for (const LeafTest* end = tests + *counts; tests != end; ++tests) {
      const std::int8_t* column = ranks + std::size_t{tests->column} * kForestRows;
      const VecBytes limit = VecBytes{} + tests->limit;
      const Bytes keep = Bytes{} + tests->keep;
#pragma GCC unroll 4
      for (std::size_t i = 0; i < kParts; ++i) {
        VecBytes rank;
        std::memcpy(&rank, column + i * kByteLanes, sizeof(rank));
        kept[i] &= reinterpret_cast<Bytes>(greater(limit, rank)) | keep;
      }
    }
    const auto base = static_cast<std::uint8_t>(8 * plane);
#pragma GCC unroll 4
    for (std::size_t i = 0; i < kParts; ++i) {
      const Bytes none = reinterpret_cast<Bytes>(kept[i] == 0);
      eight[i] = (eight[i] & none) | kept[i];
      first[i] = (first[i] & none) | (~none & base);
    }
  }
#pragma GCC unroll 4
  for (std::size_t i = 0; i < kParts; ++i) {
    const Bytes lowest = eight[i] & (~eight[i] + 1);
    const auto part = [&](std::uint8_t bits, std::uint8_t value) {
      return reinterpret_cast<Bytes>((lowest & bits) != 0) & value;
    };
    const Bytes leaf = first[i] + (part(0xaa, 1) | part(0xcc, 2) | part(0xf0, 4));
    std::memcpy(leaves + i * kByteLanes, &leaf, sizeof(leaf));
  }
}

void find_leaves_u8(const LeafTest* tests, const std::uint16_t* counts, std::size_t planes,
                    const std::int8_t* ranks, std::size_t rows, std::uint8_t* leaves) {
  constexpr std::size_t kMost = kForestRows / kByteLanes;
  if (kMost > 1 && rows <= kByteLanes) {
    find_leaves<1>(tests, counts, planes, ranks, leaves);
  } else if (kMost > 2 && rows <= 2 * kByteLanes) {
    find_leaves<(kMost + 1) / 2>(tests, counts, planes, ranks, leaves);
  } else {
    find_leaves<kMost>(tests, counts, planes, ranks, leaves);
  }
}

void find_answers_u8(const LeafTest* tests, std::size_t count, const std::int8_t* ranks,
                     std::size_t rows, std::uint8_t* answers) {
  for (std::size_t begin = 0; begin < rows; begin += kByteLanes) {
    Bytes found{};
    for (const LeafTest* test = tests; test != tests + count; ++test) {
      VecBytes rank;
      std::memcpy(&rank, ranks + std::size_t{test->column} * kForestRows + begin, sizeof(rank));
      const VecBytes limit = VecBytes{} + test->limit;
      found |= reinterpret_cast<Bytes>(greater(limit, rank)) & (Bytes{} + test->keep);
    }
    std::memcpy(answers + begin, &found, sizeof(found));
  }
}

using Doubles = double __attribute__((vector_size(sizeof(VecF))));

// Adds of each lane's leaf, a byte, the number in a table. Leaf is a parameter so that names which
// are not there where kLooksUp is false are not looked for.
template <std::size_t kVectors, class Leaf>
void add_looked_up(const VecF (&table)[kVectors], const Leaf* leaves, float* scores) {
  store(scores, load(scores) + look_up(table, load_bytes(leaves)));
}

// The same in a table of float64, both halves of which are looked up.
template <std::size_t kVectors, class Leaf>
void add_looked_up(const VecF (&table)[kVectors], const Leaf* leaves, double* scores) {
  Doubles sum;
  std::memcpy(&sum, scores, sizeof(sum));
  sum += reinterpret_cast<Doubles>(look_up(table, load_doubled(leaves)));
  std::memcpy(scores, &sum, sizeof(sum));
}

template <std::size_t kLeaves, class T>
void add_looked_up(const T* weights, const std::uint8_t* leaves, std::size_t rows, T* scores) {
  VecF table[kLeaves * sizeof(T) / sizeof(VecF)];
  std::memcpy(table, weights, sizeof(table));
  constexpr std::size_t kNumbers = sizeof(VecF) / sizeof(T);
  for (std::size_t r = 0; r < rows; r += kNumbers) add_looked_up(table, leaves + r, scores + r);
}

// What is more than kMost is read from memory.
template <class T, std::size_t kMost>
void add_votes(const T* weights, std::size_t count, const std::uint8_t* leaves, std::size_t rows,
               T* scores) {
  if constexpr (kLooksUp) {
    if (count <= 32) return add_looked_up<32>(weights, leaves, rows, scores);
    if (count <= 64) return add_looked_up<64>(weights, leaves, rows, scores);
    if (count <= 128) return add_looked_up<128>(weights, leaves, rows, scores);
    if (count <= kMost) return add_looked_up<kMost>(weights, leaves, rows, scores);
  }
  for (std::size_t r = 0; r < rows; ++r) scores[r] += weights[leaves[r]];
}

void add_votes_f32(const float* weights, std::size_t count, const std::uint8_t* leaves,
                   std::size_t rows, float* scores) {
  add_votes<float, kForestLeaves>(weights, count, leaves, rows, scores);
}

void add_votes_f64(const double* weights, std::size_t count, const std::uint8_t* leaves,
                   std::size_t rows, double* scores) {
  add_votes<double, 128>(weights, count, leaves, rows, scores);
}

}  // namespace
}  // namespace pyrec
