#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "plan/convert.h"
#include "plan/op_list.h"
#include "plan/ops/elementwise.h"
#include "plan/ops/tokens.h"
#include "plan/texts.h"
#include "tables/number_map.h"
#include "tables/text_map.h"

namespace pyrec {

namespace {

using Inputs = std::span<const Value* const>;

[[noreturn]] void refuse(const char* rule) { throw OpError(ErrorKind::kModel, rule); }

// Strings or whole numbers of a pool as the places of equal ones.
class Pool {
 public:
  explicit Pool(const Attributes& attributes)
      : strings_(attributes.texts("pool_strings")), numbers_(numbers_of(attributes)) {
    if (strings_.empty() == numbers_.empty()) refuse("expected either pool_strings or pool_int64s");
    texts_ = TextMap(strings_);
    integers_ = NumberMap(numbers_);
  }

  std::size_t size() const { return strings_.empty() ? numbers_.size() : strings_.size(); }

  // Of its own items.
  std::vector<std::int64_t> places() const {
    std::vector<std::int64_t> found(size());
    for (std::size_t i = 0; i < strings_.size(); ++i) found[i] = texts_.find(strings_[i]);
    if (strings_.empty()) integers_.find(numbers_, found);
    return found;
  }

  void require_kind(DType dtype) const {
    const bool text = dtype == DType::kText;
    if (text == !strings_.empty() && (text || dtype == DType::kInt64 || dtype == DType::kInt32)) {
      return;
    }
    throw OpError(ErrorKind::kDType, std::string("expected ") +
                                         (strings_.empty() ? "int32 or int64" : "str") + ", got " +
                                         dtype_name(dtype));
  }

  void find(std::span<const Text> texts, std::span<std::int64_t> places) const {
    texts_.find(texts, places);
  }

  // The places of successive elements, -1 for those that the pool does not have.
  void find(const Tensor& x, std::size_t first, std::span<std::int64_t> places) const {
    if (x.dtype == DType::kText) {
      find({x.as<Text>() + first, places.size()}, places);
      return;
    }
    std::vector<std::uint64_t> keys(places.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const std::int64_t number = x.dtype == DType::kInt32 ? x.as<std::int32_t>()[first + i]
                                                           : x.as<std::int64_t>()[first + i];
      keys[i] = static_cast<std::uint64_t>(number);
    }
    integers_.find(keys, places);
  }

 private:
  static std::vector<std::uint64_t> numbers_of(const Attributes& attributes) {
    const std::vector<std::int64_t> numbers = attributes.integers("pool_int64s");
    return {numbers.begin(), numbers.end()};
  }

  std::vector<std::string> strings_;
  std::vector<std::uint64_t> numbers_;
  TextMap texts_;
  NumberMap integers_;
};

// N-grams as trees: what begins with an item of the pool, and what follows a node by another.
class Trees {
 public:
  // Adds one; false if it is there.
  bool add(std::span<const std::int64_t> gram, std::size_t number, std::size_t items) {
    if (first_.empty()) first_.assign(items, kNone);
    std::uint32_t& root = first_[static_cast<std::size_t>(gram[0])];
    if (root == kNone) root = add_node();
    std::uint32_t node = root;
    for (const std::int64_t item : gram.subspan(1)) {
      const auto [found, added] = edges_.try_emplace(edge(node, item), kNone);
      if (added) found->second = add_node();
      node = found->second;
    }
    if (grams_[node] >= 0) return false;
    grams_[node] = static_cast<std::int64_t>(number);
    return true;
  }

  // After all were added: the edges in a form that is faster to look at.
  void close() {
    std::vector<std::uint64_t> edges;
    for (const auto& [key, node] : edges_) {
      edges.push_back(key);
      behind_.push_back(node);
    }
    map_ = NumberMap(edges);
    edges_.clear();
  }

  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  std::uint32_t first(std::int64_t item) const {
    return first_.empty() ? kNone : first_[static_cast<std::size_t>(item)];
  }

  std::uint32_t next(std::uint32_t node, std::int64_t item) const {
    const std::uint64_t key = edge(node, item);
    std::int64_t place = -1;
    map_.find({&key, 1}, {&place, 1});
    return place < 0 ? kNone : behind_[static_cast<std::size_t>(place)];
  }

  // The number of the n-gram that a node is, or -1.
  std::int64_t gram(std::uint32_t node) const { return grams_[node]; }

 private:
  static std::uint64_t edge(std::uint32_t node, std::int64_t item) {
    return std::uint64_t{node} << 32 | static_cast<std::uint64_t>(item);
  }

  std::uint32_t add_node() {
    grams_.push_back(-1);
    return static_cast<std::uint32_t>(grams_.size() - 1);
  }

  std::vector<std::int64_t> grams_;
  std::unordered_map<std::uint64_t, std::uint32_t> edges_;
  std::vector<std::uint32_t> first_;   // of each item
  std::vector<std::uint32_t> behind_;  // behind each edge
  NumberMap map_;
};

// The n-grams of a pool and what they count for.
class Grams {
 public:
  explicit Grams(const Attributes& attributes) : pool_(attributes) {
    if (pool_.size() > std::numeric_limits<std::int32_t>::max()) refuse("a pool that is too long");
    read_sizes(attributes);
    read_columns(attributes);
    add_grams(attributes.integers("ngram_counts"));
  }

  const Pool& pool() const { return pool_; }
  std::size_t width() const { return width_; }

  // Counts those of a row of places, -1 for items that are not in the pool. `hits` is for them on
  // the way.
  void count(std::span<const std::int64_t> items, std::vector<std::int64_t>& hits,
             float* row) const {
    hits.clear();
    collect(items, hits);
    write(hits, row);
  }

 private:
  enum class Mode { kTf, kIdf, kTfIdf };

  void read_sizes(const Attributes& attributes) {
    const auto counts = static_cast<std::int64_t>(attributes.integers("ngram_counts").size());
    const std::int64_t shortest = attributes.integer("min_gram_length", 1);
    const std::int64_t longest = attributes.integer("max_gram_length", 1);
    const std::int64_t skips = attributes.integer("max_skip_count", 0);
    if (shortest < 1 || longest < shortest || longest > counts || skips < 0) {
      refuse("lengths of n-grams that do not fit ngram_counts");
    }
    shortest_ = static_cast<std::size_t>(shortest);
    longest_ = static_cast<std::size_t>(longest);
    skips_ = static_cast<std::size_t>(skips);
    const std::string mode = attributes.text("mode", "TF");
    if (mode != "TF" && mode != "IDF" && mode != "TFIDF") refuse("unknown mode");
    mode_ = mode == "TF" ? Mode::kTf : mode == "IDF" ? Mode::kIdf : Mode::kTfIdf;
  }

  void read_columns(const Attributes& attributes) {
    columns_ = attributes.integers("ngram_indexes");
    const auto fits = [](std::int64_t column) {
      return column >= 0 && column < std::numeric_limits<std::int32_t>::max();
    };
    if (columns_.empty() || !std::ranges::all_of(columns_, fits)) {
      refuse("ngram_indexes do not fit the pool");
    }
    width_ = static_cast<std::size_t>(*std::ranges::max_element(columns_)) + 1;
    for (const double weight : attributes.reals("weights")) {
      weights_.push_back(static_cast<float>(weight));
    }
    if (weights_.empty()) weights_.assign(columns_.size(), 1.0F);
    if (weights_.size() != columns_.size()) refuse("weights do not fit ngram_indexes");
    if (mode_ == Mode::kIdf) require_one_weight();
  }

  // Where n-grams share a column, which of them was found would decide.
  void require_one_weight() const {
    std::unordered_map<std::int64_t, float> known;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const auto [found, added] = known.try_emplace(columns_[i], weights_[i]);
      if (!added && !(found->second == weights_[i])) refuse("one column has several weights");
    }
  }

  void add_grams(const std::vector<std::int64_t>& counts) {
    const auto size = static_cast<std::int64_t>(pool_.size());
    const std::vector<std::int64_t> items = pool_.places();
    std::size_t number = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      const auto length = static_cast<std::int64_t>(i + 1);
      const std::int64_t begin = counts[i], end = i + 1 < counts.size() ? counts[i + 1] : size;
      if (begin < 0 || begin > end || end > size || (end - begin) % length != 0) {
        refuse("ngram_counts do not fit the pool");
      }
      const bool counted = i + 1 >= shortest_ && i + 1 <= longest_;
      for (std::int64_t at = begin; at < end; at += length, ++number) {
        const auto gram = std::span(items).subspan(static_cast<std::size_t>(at), i + 1);
        if (number >= columns_.size()) refuse("ngram_indexes do not fit the pool");
        if (counted && !trees_.add(gram, number, items.size())) {
          refuse("an n-gram is in the pool twice");
        }
      }
    }
    trees_.close();
  }

  // The n-grams of a row, as often as they are in it.
  void collect(std::span<const std::int64_t> items, std::vector<std::int64_t>& hits) const {
    // A single item has no gaps, so skipping would count it again.
    std::size_t shortest = shortest_;
    const std::size_t steps = std::min(skips_, items.size()) + 1;
    for (std::size_t step = 1; step <= steps; ++step) {
      if (step > 1) {
        if (longest_ == 1) return;
        shortest = std::max<std::size_t>(shortest, 2);
        Watch::check();
      }
      for (std::size_t start = 0; start < items.size(); ++start) {
        if (items[start] < 0) continue;
        std::uint32_t node = trees_.first(items[start]);
        std::size_t at = start;
        for (std::size_t length = 1; node != Trees::kNone; ++length) {
          if (length >= shortest && trees_.gram(node) >= 0) hits.push_back(trees_.gram(node));
          at += step;
          if (length == longest_ || at >= items.size() || items[at] < 0) break;
          node = trees_.next(node, items[at]);
        }
      }
    }
  }

  void write(std::vector<std::int64_t>& hits, float* row) const {
    if (mode_ == Mode::kTfIdf) std::ranges::sort(hits);
    for (std::size_t i = 0; i < hits.size();) {
      const auto gram = static_cast<std::size_t>(hits[i]);
      const auto column = static_cast<std::size_t>(columns_[gram]);
      std::size_t behind = i + 1;
      while (behind < hits.size() && hits[behind] == hits[i]) ++behind;
      const auto count = static_cast<float>(behind - i);
      if (mode_ == Mode::kIdf) {
        row[column] = weights_[gram];
      } else {
        row[column] += mode_ == Mode::kTf ? count : count * weights_[gram];
      }
      i = behind;
    }
  }

  Pool pool_;
  Trees trees_;
  Mode mode_ = Mode::kTf;
  std::size_t shortest_ = 1, longest_ = 1, skips_ = 0;
  std::size_t width_ = 0;
  std::vector<std::int64_t> columns_;  // of each n-gram
  std::vector<float> weights_;
};

class TfIdfVectorizer {
 public:
  explicit TfIdfVectorizer(const OpSpec& spec) : grams_(spec.attributes) {}

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor x = contiguous(context, required(in, 0));
    grams_.pool().require_kind(x.dtype);
    if (x.rank() != 1 && x.rank() != 2) {
      throw OpError(ErrorKind::kShape, "expected 1 or 2 axes, got " + std::to_string(x.rank()));
    }
    const auto rows = static_cast<std::size_t>(x.rank() == 2 ? x.shape[0] : 1);
    const auto length = static_cast<std::size_t>(x.shape[x.rank() - 1]);
    Shape shape;
    if (x.rank() == 2) shape.push_back(x.shape[0]);
    shape.push_back(static_cast<std::int64_t>(grams_.width()));
    const Tensor y = allocate(context, DType::kFloat32, shape);
    const std::size_t width = grams_.width();
    const std::size_t each = std::max<std::size_t>({length, width / kZeros, 1});
    const std::size_t block = std::max<std::size_t>(1, kBlock / each);
    std::vector<std::int64_t> places(std::min(block, rows) * length);
    std::vector<std::int64_t> hits;
    in_parts(rows, block, [&](std::size_t begin, std::size_t count) {
      const std::span<std::int64_t> found = std::span(places).first(count * length);
      grams_.pool().find(x, begin * length, found);
      float* const to = y.as<float>() + begin * width;
      std::fill_n(to, count * width, 0.0F);
      for (std::size_t i = 0; i < count; ++i) {
        grams_.count(found.subspan(i * length, length), hits, to + i * width);
      }
    });
    out[0].tensor = y;
  }

 private:
  static constexpr std::size_t kBlock = 512;  // elements that are looked up together
  static constexpr std::size_t kZeros = 64;   // zeros that take as long

  Grams grams_;
};

// The counts of the tokens of each text.
class TokenCounts {
 public:
  explicit TokenCounts(const OpSpec& spec) : tokens_(spec.attributes), grams_(spec.attributes) {
    grams_.pool().require_kind(DType::kText);
  }

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor& given = required(in, 0);
    expect_dtype(given, DType::kText);
    const Tensor x = contiguous(context, given);
    const std::size_t width = grams_.width();
    const Tensor y =
        allocate(context, DType::kFloat32, {x.elements(), static_cast<std::int64_t>(width)});
    std::vector<Text> found, room;
    std::vector<std::int64_t> places, hits;
    in_parts(static_cast<std::size_t>(x.elements()), kWatchedElements / 256,
             [&](std::size_t begin, std::size_t some) {
               for (std::size_t i = begin; i < begin + some; ++i) {
                 require_utf8(x, static_cast<std::int64_t>(i));
                 found.clear();
                 tokens_.append(x.as<Text>()[i], found, room);
                 places.resize(found.size());
                 grams_.pool().find(found, places);
                 float* const row = y.as<float>() + i * width;
                 std::fill_n(row, width, 0.0F);
                 grams_.count(places, hits, row);
               }
             });
    out[0].tensor = y;
  }

 private:
  Tokens tokens_;
  Grams grams_;
};

constexpr OpEntry kOps[] = {
    {"TfIdfVectorizer", make_op<TfIdfVectorizer>},
    {"pyrec.TokenCounts", make_op<TokenCounts>},
};

}  // namespace

std::span<const OpEntry> ngram_ops() { return kOps; }

}  // namespace pyrec
