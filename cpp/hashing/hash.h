#pragma once

// 64-bit numbers that stand for strings, equal to those of other systems bit for bit.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "hashing/seed.h"
#include "strings/texts.h"
#include "strings/views.h"

namespace pyrec {

// Every hash there is; each is a struct of this name in a header of its algorithm.
#define PYREC_HASHES(X) \
  X(FarmHash64)         \
  X(SipHash24)          \
  X(CityHash64)         \
  X(Murmur32)           \
  X(Murmur64) X(Xxh32) X(Xxh64) X(Crc32) X(Md5) X(Blake2b) X(SparkMurmur) X(VowpalWabbit)

#define PYREC_HASH_VALUE(name) k##name,
enum class Hash : std::int32_t { PYREC_HASHES(PYREC_HASH_VALUE) };
#undef PYREC_HASH_VALUE

std::optional<Hash> find_hash(std::string_view name);

// In the order of their values.
std::span<const std::string_view> hash_names();

// The hash of each text, behind a prefix. `seeds`, if not empty, are numbers of their own in place
// of the seed's first.
void hash_texts(Hash hash, const Texts& texts, std::string_view prefix, const HashSeed& seed,
                std::span<const std::uint64_t> seeds, std::span<std::uint64_t> hashes);

void hash_texts(Hash hash, std::span<const std::string_view> texts, std::string_view prefix,
                const HashSeed& seed, std::span<const std::uint64_t> seeds,
                std::span<std::uint64_t> hashes);

// The same of views, where they lie; of those that are missing, by marks for each or null, as of
// empty texts. False where one leaves its buffers: there are no hashes then.
[[nodiscard]] bool hash_texts(Hash hash, const TextViews& views, const bool* missing,
                              std::string_view prefix, const HashSeed& seed,
                              std::span<const std::uint64_t> seeds,
                              std::span<std::uint64_t> hashes);

}  // namespace pyrec
