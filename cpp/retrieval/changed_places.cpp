#include "retrieval/changed_places.h"

#include <algorithm>
#include <optional>

namespace pyrec {

namespace {

// A bit for each row, set for those of a list.
class RowSet {
 public:
  explicit RowSet(std::span<const std::int64_t> rows) {
    for (const std::int64_t row : rows) {
      const auto word = static_cast<std::size_t>(row) / 64;
      if (word >= words_.size()) words_.resize(std::max(word + 1, 2 * words_.size()));
      words_[word] |= std::uint64_t{1} << row % 64;
    }
  }
  bool has(std::int64_t row) const {
    const auto word = static_cast<std::size_t>(row) / 64;
    return word < words_.size() && (words_[word] >> row % 64 & 1) != 0;
  }

 private:
  std::vector<std::uint64_t> words_;
};

// The same places of both differ, and the later one's further ones; none where these are too many.
std::optional<ChangedPlaces> compare(std::span<const std::int64_t> older,
                                     std::span<const std::int64_t> later, std::size_t most) {
  if (later.size() < older.size() || later.size() - older.size() > most) return std::nullopt;
  ChangedPlaces found;
  for (std::size_t place = 0; place < older.size(); ++place) {
    if (older[place] == later[place]) continue;
    if (found.gone.size() == most) return std::nullopt;
    found.gone.push_back(static_cast<std::int64_t>(place));
  }
  found.own = found.gone;
  for (std::size_t place = older.size(); place < later.size(); ++place) {
    found.own.push_back(static_cast<std::int64_t>(place));
  }
  if (found.own.size() > most) return std::nullopt;
  return found;
}

}  // namespace

std::optional<ChangedPlaces> find_changed(std::span<const std::int64_t> older,
                                          std::span<const std::int64_t> later, std::size_t most) {
  if (auto found = compare(older, later, most)) return found;
  // Some were taken out, so others have moved.
  const RowSet before(older), after(later);
  ChangedPlaces found;
  std::size_t i = 0, j = 0;
  while (i < older.size() || j < later.size()) {
    if (i < older.size() && j < later.size() && older[i] == later[j]) {
      ++i;
      ++j;
    } else if (i < older.size() && !after.has(older[i])) {
      found.gone.push_back(static_cast<std::int64_t>(i++));
    } else if (j < later.size() && !before.has(later[j])) {
      found.own.push_back(static_cast<std::int64_t>(j++));
    } else {
      return std::nullopt;
    }
    if (std::max(found.gone.size(), found.own.size()) > most) return std::nullopt;
  }
  return found;
}

}  // namespace pyrec
