#include <algorithm>
#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/elementwise.h"
#include "plan/texts.h"
#include "strings/letter_case.h"
#include "strings/letters.h"
#include "strings/utf8.h"
#include "tables/text_map.h"

namespace pyrec {

namespace {

using Inputs = std::span<const Value* const>;

const Tensor& texts_at(Inputs in, std::size_t index) {
  const Tensor& tensor = required(in, index);
  expect_dtype(tensor, DType::kText);
  return tensor;
}

struct StringConcat {
  explicit StringConcat(const OpSpec&) {}

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor &first = texts_at(in, 0), &second = texts_at(in, 1);
    const Shape shape = broadcast_shapes(first.shape, second.shape);
    const Tensor a = contiguous(context, broadcast_to(first, shape));
    const Tensor b = contiguous(context, broadcast_to(second, shape));
    TextWriter writer(context, shape, text_bytes(a) + text_bytes(b));
    in_parts(static_cast<std::size_t>(a.elements()), kWatchedElements,
             [&](std::size_t begin, std::size_t count) {
               for (std::size_t i = begin; i < begin + count; ++i) {
                 const Text &x = a.as<Text>()[i], &y = b.as<Text>()[i];
                 char* at = writer.begin();
                 if (x.size() > 0) std::memcpy(at, x.data(), x.size());
                 if (y.size() > 0) std::memcpy(at + x.size(), y.data(), y.size());
                 writer.end(at + x.size() + y.size());
               }
             });
    out[0].tensor = writer.tensor();
  }
};

// The letters that change, as an attribute of that name says.
LetterCase letter_case(const OpSpec& spec, bool lower) {
  const auto numbers = spec.attributes.integers(lower ? "lower_letters" : "upper_letters");
  try {
    return LetterCase(lower, numbers);
  } catch (const std::invalid_argument& error) {
    throw OpError(ErrorKind::kModel, error.what());
  }
}

void require_independent(std::string_view text, const LetterCase& letters) {
  if (letters.depends(text)) {
    throw OpError(ErrorKind::kElsewhere, "a letter that changes by those around it");
  }
}

Tensor changed(Context& context, const Tensor& x, const LetterCase& letters) {
  const std::span<const Text> texts(x.as<Text>(), static_cast<std::size_t>(x.elements()));
  const bool ascii = std::ranges::all_of(texts, is_ascii);
  TextWriter writer(context, x.shape, text_bytes(x) * (ascii ? 1 : letters.growth()));
  in_parts(texts.size(), kWatchedElements, [&](std::size_t begin, std::size_t count) {
    for (const Text& text : texts.subspan(begin, count)) {
      if (ascii) {
        writer.end(letters.change_ascii(text, writer.begin()));
      } else {
        require_independent(text, letters);
        writer.end(letters.change(text, writer.begin()));
      }
    }
  });
  return writer.tensor();
}

class ChangeText {
 public:
  explicit ChangeText(const OpSpec& spec) : change_(spec.attributes.text("change", "")) {
    if (change_ != "lower" && change_ != "upper" && change_ != "strip") {
      throw OpError(ErrorKind::kModel, "unknown change");
    }
    if (change_ != "strip") letters_ = letter_case(spec, change_ == "lower");
  }

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor x = contiguous(context, texts_at(in, 0));
    const std::span<const Text> texts(x.as<Text>(), static_cast<std::size_t>(x.elements()));
    if (change_ == "strip") {
      out[0].tensor = allocate(context, DType::kText, x.shape);
      std::ranges::transform(texts, out[0].tensor.as<Text>(), stripped);
      return;
    }
    out[0].tensor = changed(context, x, letters_);
  }

 private:
  std::string change_;
  LetterCase letters_;
};

class StringNormalizer {
 public:
  explicit StringNormalizer(const OpSpec& spec)
      : sensitive_(spec.attributes.integer("is_case_sensitive", 0) != 0) {
    const std::string action = spec.attributes.text("case_change_action", "NONE");
    if (action != "NONE" && action != "LOWER" && action != "UPPER") {
      throw OpError(ErrorKind::kModel, "unknown case_change_action '" + action + "'");
    }
    if (action != "NONE") change_ = letter_case(spec, action == "LOWER");
    std::vector<std::string> words = spec.attributes.texts("stopwords");
    stops_ = !words.empty();
    if (stops_ && !sensitive_) lower_ = letter_case(spec, true);
    for (std::string& word : words) {
      if (sensitive_) break;
      require_independent(word, lower_);
      std::string made(word.size() * lower_.growth(), '\0');
      made.resize(static_cast<std::size_t>(lower_.change(word, made.data()) - made.data()));
      word = made;
    }
    words_ = TextMap(words);
  }

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor x = contiguous(context, texts_at(in, 0));
    if (x.rank() < 1 || x.rank() > 2 || (x.rank() == 2 && x.shape[0] != 1)) {
      throw OpError(ErrorKind::kShape, "expected shape [C] or [1, C], got " + describe(x.shape));
    }
    const Tensor kept = stops_ ? without_stopwords(context, x) : x;
    out[0].tensor = change_ ? changed(context, kept, *change_) : kept;
  }

 private:
  Tensor without_stopwords(Context& context, const Tensor& x) const {
    const std::span<const Text> texts(x.as<Text>(), static_cast<std::size_t>(x.elements()));
    const Tensor asked = sensitive_ ? x : changed(context, x, lower_);
    std::vector<std::int64_t> places(texts.size());
    words_.find({asked.as<Text>(), texts.size()}, places);
    const auto kept = std::ranges::count(places, -1);
    Shape shape = x.shape;
    shape[x.rank() - 1] = std::max<std::int64_t>(kept, 1);
    const Tensor y = allocate(context, DType::kText, shape);
    Text* to = y.as<Text>();
    if (kept == 0) *to = Text("", 0);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (places[i] < 0) *to++ = texts[i];
    }
    return y;
  }

  bool sensitive_;
  bool stops_ = false;  // whether there are words to leave out
  std::optional<LetterCase> change_;
  LetterCase lower_;  // of what is compared with these words
  TextMap words_;
};

constexpr OpEntry kOps[] = {
    {"StringNormalizer", make_op<StringNormalizer>},
    {"StringConcat", make_op<StringConcat>},
    {"pyrec.ChangeText", make_op<ChangeText>},
};

}  // namespace

std::span<const OpEntry> string_ops() { return kOps; }

}  // namespace pyrec
