#include <algorithm>
#include <cstring>
#include <string>

#include "plan/op_list.h"
#include "plan/ops/elementwise.h"
#include "plan/texts.h"
#include "strings/utf8.h"

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

char lower(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 32) : letter;
}

char upper(char letter) {
  return letter >= 'a' && letter <= 'z' ? static_cast<char>(letter - 32) : letter;
}

// What Python's str.strip takes for white space among ASCII.
bool is_space(char letter) {
  return letter == ' ' || (letter >= '\t' && letter <= '\r') || (letter >= 0x1c && letter <= 0x1f);
}

std::string_view stripped(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// Of ASCII; the rest of Unicode is Python's.
class ChangeText {
 public:
  explicit ChangeText(const OpSpec& spec) : change_(spec.attributes.text("change", "")) {
    if (change_ != "lower" && change_ != "upper" && change_ != "strip") {
      throw OpError(ErrorKind::kModel, "unknown change");
    }
  }

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor x = contiguous(context, texts_at(in, 0));
    const auto count = static_cast<std::size_t>(x.elements());
    const Text* texts = x.as<Text>();
    for (std::size_t i = 0; i < count; ++i) {
      if (!is_ascii(texts[i])) throw OpError(ErrorKind::kElsewhere, "beyond ASCII");
    }
    if (change_ == "strip") {
      const Tensor y = allocate(context, DType::kText, x.shape);
      for (std::size_t i = 0; i < count; ++i) {
        const std::string_view kept = stripped(texts[i]);
        y.as<Text>()[i] = {kept.data(), kept.size()};
      }
      out[0].tensor = y;
      return;
    }
    TextWriter writer(context, x.shape, text_bytes(x));
    const auto change = change_ == "lower" ? &lower : &upper;
    in_parts(count, kWatchedElements, [&](std::size_t begin, std::size_t some) {
      for (std::size_t i = begin; i < begin + some; ++i) {
        const std::string_view text = texts[i];
        writer.end(std::transform(text.begin(), text.end(), writer.begin(), change));
      }
    });
    out[0].tensor = writer.tensor();
  }

 private:
  std::string change_;
};

constexpr OpEntry kOps[] = {
    {"StringConcat", make_op<StringConcat>},
    {"pyrec.ChangeText", make_op<ChangeText>},
};

}  // namespace

std::span<const OpEntry> string_ops() { return kOps; }

}  // namespace pyrec
