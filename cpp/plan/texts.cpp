#include "plan/texts.h"

#include <algorithm>
#include <cstring>

namespace pyrec {

TextWriter::TextWriter(Context& context, const Shape& shape, std::size_t bytes)
    : tensor_(allocate(context, DType::kText, shape)), next_(tensor_.as<Text>()) {
  if (bytes > 0) at_ = context.arena.keep(bytes);
}

void TextWriter::append(std::string_view text) {
  if (!text.empty()) std::memcpy(at_, text.data(), text.size());
  *next_++ = {at_, text.size()};
  if (!text.empty()) at_ += text.size();
}

std::size_t text_bytes(const Tensor& tensor) {
  std::size_t bytes = 0;
  const Text* texts = tensor.as<Text>();
  for (std::int64_t i = 0; i < tensor.elements(); ++i) bytes += texts[i].size();
  return bytes;
}

Tensor copy_texts(Context& context, const Tensor& tensor) {
  const Tensor source = contiguous(context, tensor);
  TextWriter writer(context, source.shape, text_bytes(source));
  in_parts(static_cast<std::size_t>(source.elements()), kWatchedElements,
           [&](std::size_t begin, std::size_t count) {
             const Text* texts = source.as<Text>() + begin;
             for (std::size_t i = 0; i < count; ++i) writer.append(texts[i]);
           });
  return writer.tensor();
}

std::int64_t row_of(const Tensor& tensor, std::int64_t element) {
  if (tensor.rank() == 0) return -1;
  return element / std::max<std::int64_t>(1, tensor.shape.product(1, tensor.rank()));
}

}  // namespace pyrec
