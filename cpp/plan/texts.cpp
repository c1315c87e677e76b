#include "plan/texts.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "strings/utf8.h"

namespace pyrec {

TextWriter::TextWriter(Context& context, const Shape& shape, std::size_t bytes)
    : tensor_(allocate(context, DType::kText, shape)), next_(tensor_.as<Text>()) {
  if (bytes > 0) at_ = context.arena.keep(bytes);
}

Text TextWriter::append(std::string_view text) {
  const Text made{at_, text.size()};
  if (!text.empty()) at_ = std::ranges::copy(text, at_).out;
  return repeat(made);
}

std::size_t copied_bytes(const Tensor& tensor) {
  std::size_t bytes = 0;
  std::set<std::string_view, SamePlace> known;
  for_each_outer(tensor.shape, 0, std::array{tensor.strides}, [&](std::int64_t offset) {
    const std::string_view text = tensor.as<Text>()[offset];
    if (text.size() < kLongText || known.insert(text).second) bytes += text.size();
  });
  return bytes;
}

std::size_t text_bytes(const Tensor& tensor) {
  std::size_t bytes = 0;
  const Text* texts = tensor.as<Text>();
  for (std::int64_t i = 0; i < tensor.elements(); ++i) bytes += texts[i].size();
  return bytes;
}

Tensor copy_texts(Context& context, const Tensor& tensor) {
  const Tensor source = contiguous(context, tensor);
  TextWriter writer(context, source.shape, copied_bytes(source));
  std::map<std::string_view, Text, SamePlace> known;
  in_parts(static_cast<std::size_t>(source.elements()), kWatchedElements,
           [&](std::size_t begin, std::size_t count) {
             const Text* texts = source.as<Text>() + begin;
             for (std::size_t i = 0; i < count; ++i) {
               if (texts[i].size() < kLongText) {
                 writer.append(texts[i]);
                 continue;
               }
               const auto [found, added] = known.try_emplace(texts[i]);
               found->second = added ? writer.append(texts[i]) : writer.repeat(found->second);
             }
           });
  return writer.tensor();
}

void require_utf8(const Tensor& tensor, std::int64_t element, std::int64_t count) {
  const Text* texts = tensor.as<Text>();
  for (std::int64_t i = element; i < element + count; ++i) {
    if (!is_ascii(texts[i]) && !is_utf8(texts[i])) {
      throw OpError(ErrorKind::kDType, "expected strings in UTF-8", row_of(tensor, i));
    }
  }
}

std::int64_t row_of(const Tensor& tensor, std::int64_t element) {
  if (tensor.rank() == 0) return -1;
  return element / std::max<std::int64_t>(1, tensor.shape.product(1, tensor.rank()));
}

}  // namespace pyrec
