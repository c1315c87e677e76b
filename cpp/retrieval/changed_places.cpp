#include "retrieval/changed_places.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace pyrec {

namespace {

// A bit for each row, set for those of a list; what is negative is no row.
class RowSet {
 public:
  explicit RowSet(std::span<const std::int64_t> rows) {
    for (const std::int64_t row : rows) {
      if (row < 0) continue;
      const auto word = static_cast<std::size_t>(row) / 64;
      if (word >= words_.size()) words_.resize(std::max(word + 1, 2 * words_.size()));
      words_[word] |= std::uint64_t{1} << row % 64;
    }
  }
  bool has(std::int64_t row) const {
    const auto word = static_cast<std::size_t>(row) / 64;
    return row >= 0 && word < words_.size() && (words_[word] >> row % 64 & 1) != 0;
  }

 private:
  std::vector<std::uint64_t> words_;
};

// How many rows at the beginning of both are the same.
std::size_t count_equal(std::span<const std::int64_t> some, std::span<const std::int64_t> others) {
  constexpr std::size_t kTogether = 32;
  const std::size_t size = std::min(some.size(), others.size());
  std::size_t at = 0;
  for (; at + kTogether <= size; at += kTogether) {
    std::int64_t different = 0;
    for (std::size_t k = at; k < at + kTogether; ++k) different |= some[k] ^ others[k];
    if (different != 0) break;
  }
  while (at < size && some[at] == others[at]) ++at;
  return at;
}

// The same places of both differ, and the later one's further ones; none where these are too many.
std::optional<ChangedPlaces> compare(std::span<const std::int64_t> older,
                                     std::span<const std::int64_t> later, std::size_t most) {
  if (later.size() < older.size() || later.size() - older.size() > most) return std::nullopt;
  ChangedPlaces found;
  for (std::size_t place = 0;; ++place) {
    place += count_equal(older.subspan(place), later.subspan(place));
    if (place == older.size()) break;
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

// How many places from `i` on are gone, where a glance tells: then a row stands behind them.
std::size_t count_gone(std::span<const std::int64_t> older, std::size_t i, std::int64_t row) {
  constexpr std::size_t kGlance = 16;
  const std::size_t end = std::min(older.size(), i + kGlance);
  for (std::size_t at = i + 1; at < end; ++at) {
    if (older[at] == row) return at - i;
  }
  return 0;
}

}  // namespace

std::optional<ChangedPlaces> find_changed(std::span<const std::int64_t> older,
                                          std::span<const std::int64_t> later, std::size_t most) {
  if (auto found = compare(older, later, most)) return found;
  // Some were taken out, so others have moved.
  std::optional<RowSet> before, after;
  ChangedPlaces found;
  std::size_t i = 0, j = 0;
  const auto pass = [&](std::size_t gone, std::size_t own) {
    for (; gone != 0; --gone) found.gone.push_back(static_cast<std::int64_t>(i++));
    for (; own != 0; --own) found.own.push_back(static_cast<std::int64_t>(j++));
  };
  while (i < older.size() || j < later.size()) {
    if (i == older.size() || j == later.size()) {
      const std::size_t left = std::max(older.size() - i, later.size() - j);
      if (left > most) return std::nullopt;
      pass(older.size() - i, later.size() - j);
    } else if (const std::size_t same = count_equal(older.subspan(i), later.subspan(j));
               same != 0) {
      i += same;
      j += same;
      continue;
    } else if (const std::size_t gone = count_gone(older, i, later[j]); gone != 0) {
      pass(gone, 0);
    } else if (i + 1 < older.size() && j + 1 < later.size() && older[i + 1] == later[j + 1]) {
      pass(1, 1);
    } else {
      if (!before) before.emplace(older), after.emplace(later);
      const bool stays = after->has(older[i]), stood = before->has(later[j]);
      if (stays && stood) return std::nullopt;
      pass(stays ? 0 : 1, stood ? 0 : 1);
    }
    if (std::max(found.gone.size(), found.own.size()) > most) return std::nullopt;
  }
  return found;
}

bool move_values(std::span<const std::int64_t> gone, std::span<const std::int64_t> own,
                 std::span<const float> later, std::span<float> older) {
  std::size_t i = 0, j = 0;
  // The next place that has changed, or the end.
  const auto next = [](std::span<const std::int64_t> changed, std::size_t end) {
    return changed.empty() ? end : static_cast<std::size_t>(changed.front());
  };
  while (i < older.size()) {
    const std::size_t to = next(gone, older.size()), from = next(own, later.size());
    if (to < i || to > older.size() || from < j || from > later.size()) return false;
    const std::size_t run = std::min(to - i, from - j);
    std::copy_n(later.begin() + static_cast<std::ptrdiff_t>(j), run,
                older.begin() + static_cast<std::ptrdiff_t>(i));
    i += run;
    j += run;
    if (i < older.size() && i == to) {
      older[i++] = 0;
      gone = gone.subspan(1);
    } else if (j == from) {
      if (own.empty()) return i == older.size();
      ++j;
      own = own.subspan(1);
    }
  }
  return true;
}

}  // namespace pyrec
