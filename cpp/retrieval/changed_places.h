#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace pyrec {

// Where two states of the same items differ, of which each lists the items' rows in order: the
// places of the older one whose rows the later one has not, and those of the later one whose rows
// the older one has not. All others stand for each other, one after the other.
struct ChangedPlaces {
  std::vector<std::int64_t> gone;
  std::vector<std::int64_t> own;
};

// None where more than `most` of the older or of the later places differ, or others stand in
// another order. The rows of a state are all different.
std::optional<ChangedPlaces> find_changed(std::span<const std::int64_t> older,
                                          std::span<const std::int64_t> later, std::size_t most);

// Values of the later state's places, by the older one's; zero for what is gone. False where the
// changed places, which rise, do not fit these numbers of places.
bool move_values(std::span<const std::int64_t> gone, std::span<const std::int64_t> own,
                 std::span<const float> later, std::span<float> older);

}  // namespace pyrec
