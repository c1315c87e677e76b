#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/elementwise.h"
#include "plan/ops/tokens.h"
#include "plan/pattern.h"
#include "plan/texts.h"
#include "strings/letters.h"

namespace pyrec {

namespace {

using Inputs = std::span<const Value* const>;

// Pieces of each text one after another, and how many each has.
class Pieces {
 public:
  explicit Pieces(std::size_t texts) { counts_.reserve(texts); }

  void add(Text piece) { pieces_.push_back(piece); }
  void end_text() {
    const std::size_t before = ends_;
    ends_ = pieces_.size();
    counts_.push_back(ends_ - before);
    widest_ = std::max(widest_, counts_.back());
  }

  // Along a new last axis, filled up.
  Tensor table(Context& context, Shape shape, Text padding) const {
    shape.push_back(static_cast<std::int64_t>(widest_));
    const Tensor y = allocate(context, DType::kText, shape);
    const Text* from = pieces_.data();
    Text* to = y.as<Text>();
    in_parts(counts_.size(), std::max<std::size_t>(1, kWatchedElements / (widest_ + 1)),
             [&](std::size_t begin, std::size_t count) {
               for (std::size_t i = begin; i < begin + count; ++i) {
                 std::copy_n(from, counts_[i], to);
                 std::fill(to + counts_[i], to + widest_, padding);
                 from += counts_[i];
                 to += widest_;
               }
             });
    return y;
  }

  const std::vector<std::size_t>& counts() const { return counts_; }

 private:
  std::vector<Text> pieces_;
  std::vector<std::size_t> counts_;
  std::size_t ends_ = 0;
  std::size_t widest_ = 0;
};

// As Python's str.split does.
class StringSplit {
 public:
  explicit StringSplit(const OpSpec& spec) : delimiter_(spec.attributes.text("delimiter", "")) {
    const std::int64_t most = spec.attributes.integer("maxsplit", -1);
    if (most >= 0) most_ = static_cast<std::size_t>(most);
  }

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor& given = required(in, 0);
    expect_dtype(given, DType::kText);
    const Tensor x = contiguous(context, given);
    const auto count = static_cast<std::size_t>(x.elements());
    Pieces pieces(count);
    in_parts(count, kWatchedElements / 16, [&](std::size_t begin, std::size_t some) {
      for (std::size_t i = begin; i < begin + some; ++i) {
        if (delimiter_.empty()) {
          split_by_space(x.as<Text>()[i], pieces);
        } else {
          split(x.as<Text>()[i], pieces);
        }
        pieces.end_text();
      }
    });
    out[0].tensor = pieces.table(context, x.shape, kEmpty);
    if (out.size() < 2) return;
    out[1].tensor = allocate(context, DType::kInt64, x.shape);
    std::ranges::copy(pieces.counts(), out[1].tensor.as<std::int64_t>());
  }

 private:
  static constexpr Text kEmpty{"", 0};

  void split(Text text, Pieces& pieces) const {
    for (std::size_t left = most_; left > 0; --left) {
      const std::size_t at = text.find(delimiter_);
      if (at == Text::npos) break;
      pieces.add(text.substr(0, at));
      text.remove_prefix(at + delimiter_.size());
    }
    pieces.add(text);
  }

  void split_by_space(Text text, Pieces& pieces) const {
    for (std::size_t left = most_;; --left) {
      text.remove_prefix(leading_space(text));
      if (text.empty()) return;
      if (left == 0) {
        pieces.add(text);
        return;
      }
      const std::size_t size = before_space(text);
      pieces.add(text.substr(0, size));
      text.remove_prefix(size);
    }
  }

  std::string delimiter_;
  std::size_t most_ = SIZE_MAX;
};

class Tokenizer {
 public:
  explicit Tokenizer(const OpSpec& spec)
      : tokens_(spec.attributes),
        padding_(spec.attributes.text("pad_value", "#")),
        marked_(spec.attributes.integer("mark", 0) != 0) {}

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor& given = required(in, 0);
    expect_dtype(given, DType::kText);
    const Tensor x = contiguous(context, given);
    const auto count = static_cast<std::size_t>(x.elements());
    std::vector<Text> found, room;
    std::vector<std::size_t> ends(count);
    in_parts(count, kWatchedElements / 256, [&](std::size_t begin, std::size_t some) {
      for (std::size_t i = begin; i < begin + some; ++i) {
        require_utf8(x, static_cast<std::int64_t>(i));
        tokens_.append(x.as<Text>()[i], found, room);
        ends[i] = found.size();
      }
    });
    Pieces pieces(count);
    const bool marked = marked_ && !found.empty();
    std::size_t next = 0;
    for (const std::size_t end : ends) {
      if (marked) pieces.add(Text("\x02", 1));
      for (; next < end; ++next) pieces.add(found[next]);
      if (marked) pieces.add(Text("\x03", 1));
      pieces.end_text();
    }
    out[0].tensor = pieces.table(context, x.shape, padding_);
  }

 private:
  Tokens tokens_;
  std::string padding_;
  bool marked_;
};

class RegexFullMatch {
 public:
  explicit RegexFullMatch(const OpSpec& spec) : pattern_(read(spec.attributes)) {}

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor& given = required(in, 0);
    expect_dtype(given, DType::kText);
    const Tensor x = contiguous(context, given);
    const Tensor y = allocate(context, DType::kBool, x.shape);
    in_parts(static_cast<std::size_t>(x.elements()), kWatchedElements / 256,
             [&](std::size_t begin, std::size_t some) {
               for (std::size_t i = begin; i < begin + some; ++i) {
                 require_utf8(x, static_cast<std::int64_t>(i));
                 const Text text = x.as<Text>()[i];
                 y.as<bool>()[i] = pattern_.longest(text, 0) == text.size();
               }
             });
    out[0].tensor = y;
  }

 private:
  static Pattern read(const Attributes& attributes) {
    if (attributes.integer("in_python", 0) != 0) throw OpError(ErrorKind::kElsewhere, "groups");
    const std::vector<std::int64_t> numbers = attributes.integers("patterns");
    std::span<const std::int64_t> rest(numbers);
    return Pattern(rest);
  }

  Pattern pattern_;
};

constexpr OpEntry kOps[] = {
    {"RegexFullMatch", make_op<RegexFullMatch>},
    {"StringSplit", make_op<StringSplit>},
    {"com.microsoft.Tokenizer", make_op<Tokenizer>},
};

}  // namespace

std::span<const OpEntry> split_ops() { return kOps; }

}  // namespace pyrec
