#pragma once

// Rows of plain elements, one for each number.

#include <cstddef>

namespace pyrec {
namespace {

// Reads vectors of one row, or adds them to sums. `Elements` gives the type of the elements and
// loads vectors of them.
template <class Elements>
struct ElementReader {
  using Element = typename Elements::Element;
  ElementReader(const unsigned char* row, std::size_t)
      : row(reinterpret_cast<const Element*>(row)) {}
  VecF read(std::size_t j) const { return Elements::load(row + j); }
  VecF read_first(std::size_t j, std::size_t count) const {
    return Elements::load_first(row + j, count);
  }
  VecF add(std::size_t j, VecF sum) const { return sum + read(j); }
  VecF add_first(std::size_t j, std::size_t count, VecF sum) const {
    return sum + read_first(j, count);
  }
  float number() const { return Elements::number(*row); }
  void skip(std::size_t count) { row += count; }
  const Element* row;
};

}  // namespace
}  // namespace pyrec
