#include "retrieval/group_search.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "core/falling_parts.h"
#include "selection/sort_entries.h"

namespace pyrec {

namespace {

// Blocks of the smallest part that a thread takes: each ends with a few products of single pairs.
constexpr std::size_t kLeastPart = 4 * kStretch;

// Entries that take longer to sort than to hand over.
constexpr std::size_t kManyEntries = 1 << 11;

constexpr float kNone = -std::numeric_limits<float>::infinity();

// So many near scores that they stay in cache.
constexpr std::size_t kNear = 1 << 21;

// Of a sample's best scores the number of one that at least k of all reach, unless chance has it
// that a sample has as many as in one of ten thousand.
std::size_t rank_in_sample(std::size_t k) {
  const double expected = static_cast<double>(k) / kSample;
  return static_cast<std::size_t>(expected + 4 * std::sqrt(expected) + 4);
}

// Whether an entry's score is larger than that of another, as entries compare scores.
bool is_above(Entry entry, Entry other) { return entry >> 32 > other >> 32; }

}  // namespace

GroupSearch::Found GroupSearch::find(QueryGroup& group) {
  Found found = has_few(group) ? search_nearly(group) : search_many(group);
  const auto finish = [&](std::size_t query, std::size_t) { sort_first(found[query], group.k); };
  if (found.size() * group.k >= kManyEntries) {
    pool_.run(found.size(), finish);
  } else {
    for (std::size_t query = 0; query < found.size(); ++query) finish(query, 0);
  }
  return found;
}

// Whether near scores of all items are made before any is multiplied.
bool GroupSearch::has_few(const QueryGroup& group) const {
  return index_.table().screened() && !group.boosts.any() && index_.size() <= group.few &&
         index_.size() * group.count <= kNear;
}

GroupSearch::Found GroupSearch::search_many(QueryGroup& group) {
  const std::size_t rank = rank_in_sample(group.k);
  const std::size_t sampled = index_.blocks() / kSample;
  // Neighbours may be alike: what is found has to come from many blocks. Boosts may leave NaN,
  // which is above nothing.
  const bool guesses = rank < group.k && 4 * rank <= sampled && !group.boosts.any();
  Found found;
  if (guesses && index_.guesses().are_good()) found = search_above_guess(group, rank);
  if (found.empty()) found = search(group);
  return found;
}

Scan& GroupSearch::scan_of(Scans& scans, std::size_t worker, QueryGroup& group) const {
  if (!scans[worker]) scans[worker] = std::make_unique<Scan>(index_, kernels_, group, worker);
  return *scans[worker];
}

// Where the parts end in which the blocks are shared.
std::vector<std::size_t> GroupSearch::parts() const {
  const std::size_t threads = pool_.threads(), blocks = index_.blocks();
  if (threads == 1) return {blocks};
  constexpr std::size_t kPortion = 3;
  return falling_parts(blocks, threads, kLeastPart, blocks / kStretch * kStretch + kStretch,
                       kStretch, kPortion);
}

GroupSearch::Found GroupSearch::found_by(const Scans& scans, std::size_t queries) {
  Found found(queries);
  for (const std::unique_ptr<Scan>& scan : scans) {
    if (!scan) continue;
    refined_ += scan->refined();
    for (std::size_t query = 0; query < queries; ++query) {
      const std::vector<Entry> more = scan->take(query);
      found[query].insert(found[query].end(), more.begin(), more.end());
    }
  }
  return found;
}

// use(begin, end, worker) for parts of the blocks.
template <class Use>
void GroupSearch::on_parts(Use use) {
  const std::vector<std::size_t> ends = parts();
  const auto begin = [&](std::size_t part) { return part == 0 ? 0 : ends[part - 1]; };
  pool_.run(
      ends.size(), [&](std::size_t part) { return ends[part] - begin(part); },
      [&](std::size_t part, std::size_t worker) { use(begin(part), ends[part], worker); });
}

// look(scan, begin, end) for parts of the blocks.
template <class Look>
GroupSearch::Found GroupSearch::on_threads(QueryGroup& group, Look look) {
  Scans scans(pool_.threads());
  group.share_among(pool_.threads());
  on_parts([&](std::size_t begin, std::size_t end, std::size_t worker) {
    look(scan_of(scans, worker, group), begin, end);
  });
  return found_by(scans, group.count);
}

GroupSearch::Found GroupSearch::search(QueryGroup& group) {
  return on_threads(group, [](Scan& scan, std::size_t begin, std::size_t end) {
    scan.look_at_sample(begin, end);
    scan.look_at_others(begin, end);
  });
}

GroupSearch::Found GroupSearch::search_nearly(QueryGroup& group) {
  const std::size_t size = index_.blocks() * VectorIndex::kBlock * group.count;
  const auto made = std::make_unique_for_overwrite<float[]>(size);
  const std::span<float> near(made.get(), size);
  Scans scans(pool_.threads());
  on_parts([&](std::size_t begin, std::size_t end, std::size_t worker) {
    scan_of(scans, worker, group).score_nearly(begin, end, near);
  });
  pool_.run(group.count, [&](std::size_t query, std::size_t worker) {
    scan_of(scans, worker, group).look_at_near(query, near);
  });
  return found_by(scans, group.count);
}

// With bounds that a sample tells, which may be wrong: none where fewer than k are above one.
GroupSearch::Found GroupSearch::search_above_guess(QueryGroup& group, std::size_t rank) {
  const std::size_t wanted = group.k, refined_before = refined_;
  group.k = rank;
  Found found = on_threads(group, [](Scan& scan, std::size_t begin, std::size_t end) {
    scan.look_at_sample(begin, end);
  });
  group.k = wanted;
  std::vector<Entry> bounds(group.count);  // all of the sample that are above one were found
  for (std::size_t query = 0; query < group.count; ++query) {
    std::vector<Entry>& own = found[query];
    keep_first(own, rank);
    const bool full = own.size() == rank;
    if (full) bounds[query] = *std::min_element(own.begin(), own.end());
    group.least[query] = full ? score_of(bounds[query]) : kNone;
  }
  const Found others = on_threads(group, [](Scan& scan, std::size_t begin, std::size_t end) {
    scan.look_at_others(begin, end);
  });
  bool right = true;
  for (std::size_t query = 0; query < group.count; ++query) {
    std::vector<Entry>& own = found[query];
    own.insert(own.end(), others[query].begin(), others[query].end());
    const Entry bound = bounds[query];
    if (bound == 0) continue;
    std::erase_if(own, [bound](Entry entry) { return !is_above(entry, bound); });
    right &= own.size() >= wanted;
  }
  index_.guesses().count(right);
  if (right) return found;
  refined_ = refined_before;
  for (std::atomic<float>& least : group.least) least = kNone;
  return {};
}

}  // namespace pyrec
