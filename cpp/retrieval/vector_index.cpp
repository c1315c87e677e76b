#include "retrieval/vector_index.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>

#include "core/error.h"
#include "core/watch.h"
#include "retrieval/best.h"

namespace pyrec {

namespace {

// Items whose scores are computed at once, so that they and a group's queries stay in cache.
constexpr std::size_t kBlock = kScoreBlock;
constexpr std::size_t kQueries = 96;

// What the entries of one thread may take, where queries are many and k is large.
constexpr std::size_t kEntryBytes = std::size_t{1} << 26;

// Blocks of which one is looked at before all others: what is found there tells what the others
// have to reach, in whatever order the items lie.
constexpr std::size_t kSample = 64;

// Parts that a thread takes one after the other, so that a slow one holds up little.
constexpr std::size_t kPartsOfThread = 4;

constexpr std::uint32_t kNone = ~std::uint32_t{0};

// Raised by any thread; what the others have not seen yet costs them time alone.
void raise(std::atomic<float>& least, float to) {
  float now = least.load(std::memory_order_relaxed);
  while (now < to && !least.compare_exchange_weak(now, to, std::memory_order_relaxed)) {
  }
}

}  // namespace

// Queries that are searched for together, and where their results go.
struct VectorIndex::Group {
  const float* queries;
  std::size_t count;
  std::size_t k;
  std::int64_t* places;
  float* scores;
};

// One thread's share of a search.
class VectorIndex::Scan {
 public:
  Scan(const VectorIndex& index, const Kernels& kernels, const Group& group,
       std::span<std::atomic<float>> least)
      : index_(index),
        kernels_(kernels),
        group_(group),
        least_(least),
        best_(group.count, Best(group.k)),
        packed_(kernels.packed_size_f32(index.width(), kBlock)),
        scores_(group.count * kBlock),
        gathered_(index.width() * kBlock),
        bias_(index.table_.biased ? kBlock : 0) {}

  void run(std::size_t begin, std::size_t end) {
    for (std::size_t block = begin; block < end; block += kSample)
      look_at(block, block + kSample, end);
    for (std::size_t block = begin; block < end; ++block) {
      if ((block - begin) % kSample != 0) look_at(block, block + 1, end);
    }
  }

  std::vector<Entry> take(std::size_t query) { return best_[query].take(); }

 private:
  void look_at(std::size_t block, std::size_t next, std::size_t end) {
    Watch::check();
    if (next < end) prefetch(next);
    load(block);
    const std::size_t width = index_.width();
    kernels_.gemm_f32(group_.queries, width, packed_.data(), bias_.empty() ? nullptr : bias_.data(),
                      0, Activation::kNone, scores_.data(), kBlock, group_.count, kBlock, width,
                      nullptr);
    const std::span<const std::uint32_t> places = index_.places_of(block);
    for (std::size_t query = 0; query < group_.count; ++query) {
      Best& best = best_[query];
      best.raise_to(least_[query].load(std::memory_order_relaxed));
      const float before = best.least();
      best.collect(scores_.data() + query * kBlock, places);
      if (best.least() > before) raise(least_[query], best.least());
    }
  }

  void prefetch(std::size_t block) const {
    constexpr std::size_t kLine = 64;
    const std::size_t count = index_.places_of(block).size();
    for (std::size_t i = 0; i < count; ++i) {
      const auto* p = reinterpret_cast<const std::byte*>(index_.vector(block * kBlock + i));
      for (std::size_t at = 0; at < index_.table_.stride; at += kLine) {
        __builtin_prefetch(p + at, 0, 2);
      }
    }
  }

  // Lays the block's vectors out for products.
  void load(std::size_t block) {
    const std::size_t first = block * kBlock, count = index_.places_of(block).size();
    const std::size_t width = index_.width();
    for (std::size_t i = 0; i < count && !bias_.empty(); ++i) {
      bias_[i] = index_.vector(first + i)[width];
    }
    const float* vectors = index_.vector(first);
    std::size_t step = index_.table_.stride / sizeof(float);
    if (count < kBlock || !index_.is_run(first, count)) {
      for (std::size_t i = 0; i < count; ++i) {
        std::memcpy(gathered_.data() + i * width, index_.vector(first + i), width * sizeof(float));
      }
      std::fill(gathered_.begin() + static_cast<std::ptrdiff_t>(count * width), gathered_.end(),
                0.0f);
      vectors = gathered_.data();
      step = width;
    }
    kernels_.pack_f32(vectors, width, kBlock, 1, step, packed_.data());
  }

  const VectorIndex& index_;
  const Kernels& kernels_;
  const Group& group_;
  std::span<std::atomic<float>> least_;
  std::vector<Best> best_;
  std::vector<float> packed_;
  std::vector<float> scores_;
  std::vector<float> gathered_;
  std::vector<float> bias_;
};

VectorIndex::VectorIndex(const Table& table, std::span<const std::int64_t> rows) : table_(table) {
  if (rows.size() >= kMostScores) throw OpError(ErrorKind::kUnsupported, "too many items");
  const auto last = std::ranges::max_element(rows);
  const std::size_t end = rows.empty() ? 0 : static_cast<std::size_t>(*last) + 1;
  std::vector<std::uint32_t> place_of(end, kNone);
  for (std::size_t place = 0; place < rows.size(); ++place) {
    place_of[static_cast<std::size_t>(rows[place])] = static_cast<std::uint32_t>(place);
  }
  rows_.reserve(rows.size());
  places_.reserve(rows.size());
  for (std::size_t row = 0; row < end; ++row) {
    if (place_of[row] == kNone) continue;
    rows_.push_back(static_cast<std::uint32_t>(row));
    places_.push_back(place_of[row]);
  }
}

std::span<const std::uint32_t> VectorIndex::places_of(std::size_t block) const {
  const std::size_t begin = block * kBlock;
  return std::span(places_).subspan(begin, std::min(kBlock, places_.size() - begin));
}

const float* VectorIndex::vector(std::size_t number) const {
  return reinterpret_cast<const float*>(table_.records + rows_[number] * table_.stride);
}

bool VectorIndex::is_run(std::size_t begin, std::size_t count) const {
  return rows_[begin + count - 1] == rows_[begin] + (count - 1);
}

void VectorIndex::search(const Kernels& kernels, ThreadPool& pool, const float* queries,
                         std::size_t count, std::size_t k, std::int64_t* places,
                         float* scores) const {
  if (k == 0) return;
  const std::size_t fit = std::max<std::size_t>(1, kEntryBytes / sizeof(Entry) / (2 * k));
  const std::size_t together = std::min(kQueries, fit);
  for (std::size_t begin = 0; begin < count; begin += together) {
    search_group(kernels, pool,
                 {queries + begin * width(), std::min(together, count - begin), k,
                  places + begin * k, scores + begin * k});
  }
}

void VectorIndex::search_group(const Kernels& kernels, ThreadPool& pool, const Group& group) const {
  const std::size_t blocks = (size() + kBlock - 1) / kBlock;
  const std::size_t threads = pool.threads();
  const std::size_t parts = threads == 1 ? 1 : std::min(blocks, kPartsOfThread * threads);
  std::vector<std::atomic<float>> least(group.count);
  for (std::atomic<float>& each : least) each = -std::numeric_limits<float>::infinity();
  std::vector<std::unique_ptr<Scan>> scans(threads);
  pool.run(parts, [&](std::size_t part, std::size_t worker) {
    if (!scans[worker]) scans[worker] = std::make_unique<Scan>(*this, kernels, group, least);
    scans[worker]->run(blocks * part / parts, blocks * (part + 1) / parts);
  });
  for (std::size_t query = 0; query < group.count; ++query) {
    std::vector<Entry> found;
    for (const std::unique_ptr<Scan>& scan : scans) {
      if (!scan) continue;
      const std::vector<Entry> more = scan->take(query);
      found.insert(found.end(), more.begin(), more.end());
    }
    keep_first(found, group.k);
    std::sort(found.begin(), found.end(), std::greater<>{});
    for (std::size_t i = 0; i < group.k; ++i) {
      group.places[query * group.k + i] = static_cast<std::int64_t>(row_of(found[i]));
      group.scores[query * group.k + i] = score_of(found[i]);
    }
  }
}

}  // namespace pyrec
