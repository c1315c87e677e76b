#pragma once

// How a table holds the numbers of a row.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace pyrec {

// Every codec there is; each is a struct of this name in a header of its own, see codecs.inl.h.
#define PYREC_CODECS(X) X(F32) X(Bf16) X(F16) X(I8)

#define PYREC_CODEC_VALUE(name) k##name,
enum class Codec : std::int32_t { PYREC_CODECS(PYREC_CODEC_VALUE) };
#undef PYREC_CODEC_VALUE

// From the first byte of a row to behind its last.
std::size_t row_bytes(Codec codec, std::size_t width);

std::optional<Codec> find_codec(std::string_view name);

// In the order of their values.
std::span<const std::string_view> codec_names();

}  // namespace pyrec
