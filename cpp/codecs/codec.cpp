#include "codecs/codec.h"

#include <algorithm>

#include "simd/vec_scalar.h"

// After the vocabulary that it is compiled over.
#include "codecs/codecs.inl.h"

namespace pyrec {

std::size_t row_bytes(Codec codec, std::size_t width) {
  return with_codec(codec, [=](auto of) { return of.row_bytes(width); });
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
