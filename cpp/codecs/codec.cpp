#include "codecs/codec.h"

#include <algorithm>

#include "codecs/encode.h"
#include "simd/vec_scalar.h"

// After the vocabulary that it is compiled over.
#include "codecs/codecs.inl.h"

namespace pyrec {

std::size_t row_bytes(Codec codec, std::size_t width) {
  return with_codec(codec, [=](auto of) { return of.row_bytes(width); });
}

bool encode_row(Codec codec, const float* row, std::size_t width, std::byte* made) {
  auto* bytes = reinterpret_cast<unsigned char*>(made);
  return with_codec(codec, [=](auto of) { return of.encode(row, width, bytes); });
}

std::optional<Codec> find_codec(std::string_view name) {
  const auto names = codec_names();
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return std::nullopt;
  return static_cast<Codec>(found - names.begin());
}

std::span<const std::string_view> codec_names() {
#define PYREC_CODEC_NAME(name) name::kName,
  static constexpr std::string_view kNames[] = {PYREC_CODECS(PYREC_CODEC_NAME)};
#undef PYREC_CODEC_NAME
  return kNames;
}

}  // namespace pyrec
