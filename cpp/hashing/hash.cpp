#include "hashing/hash.h"

#include <algorithm>
#include <string>

#include "hashing/blake2b.h"
#include "hashing/cityhash64.h"
#include "hashing/crc32.h"
#include "hashing/farmhash64.h"
#include "hashing/md5.h"
#include "hashing/murmur3.h"
#include "hashing/siphash24.h"
#include "hashing/vowpal_wabbit.h"
#include "hashing/xxhash.h"

namespace pyrec {

namespace {

// at(i): the i-th text
template <class H, class At>
void hash_all(const At& at, std::string_view prefix, HashSeed seed,
              std::span<const std::uint64_t> seeds, std::span<std::uint64_t> hashes) {
  if constexpr (requires { H::kGoesOn; }) {
    if (seeds.empty() && !prefix.empty()) {
      seed.first = H::hash(prefix, seed);
      prefix = {};
    }
  }
  std::string joined(prefix);
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    std::string_view text = at(i);
    if (!seeds.empty()) seed.first = seeds[i];
    if (!prefix.empty()) {
      joined.resize(prefix.size());
      text = joined.append(text);
    }
    hashes[i] = H::hash(text, seed);
  }
}

template <class At>
void hash_each(Hash hash, const At& at, std::string_view prefix, const HashSeed& seed,
               std::span<const std::uint64_t> seeds, std::span<std::uint64_t> hashes) {
  switch (hash) {
#define PYREC_HASH_ALL(name) \
  case Hash::k##name:        \
    return hash_all<name>(at, prefix, seed, seeds, hashes);
    PYREC_HASHES(PYREC_HASH_ALL)
#undef PYREC_HASH_ALL
  }
}

}  // namespace

std::optional<Hash> find_hash(std::string_view name) {
  const auto names = hash_names();
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) return std::nullopt;
  return static_cast<Hash>(found - names.begin());
}

std::span<const std::string_view> hash_names() {
#define PYREC_HASH_NAME(name) name::kName,
  static constexpr std::string_view kNames[] = {PYREC_HASHES(PYREC_HASH_NAME)};
#undef PYREC_HASH_NAME
  return kNames;
}

void hash_texts(Hash hash, const Texts& texts, std::string_view prefix, const HashSeed& seed,
                std::span<const std::uint64_t> seeds, std::span<std::uint64_t> hashes) {
  texts.visit([&](const auto* offsets, const char* bytes) {
    const auto at = [=](std::size_t i) {
      return std::string_view(bytes + offsets[i],
                              static_cast<std::size_t>(offsets[i + 1] - offsets[i]));
    };
    hash_each(hash, at, prefix, seed, seeds, hashes);
  });
}

void hash_texts(Hash hash, std::span<const std::string_view> texts, std::string_view prefix,
                const HashSeed& seed, std::span<const std::uint64_t> seeds,
                std::span<std::uint64_t> hashes) {
  hash_each(hash, [=](std::size_t i) { return texts[i]; }, prefix, seed, seeds, hashes);
}

bool hash_texts(Hash hash, const TextViews& views, const bool* missing, std::string_view prefix,
                const HashSeed& seed, std::span<const std::uint64_t> seeds,
                std::span<std::uint64_t> hashes) {
  bool inside = true;
  const auto at = [&](std::size_t i) {
    if (missing != nullptr && missing[i]) return std::string_view();
    const auto text = views.at(i);
    inside &= text.has_value();
    return text.value_or(std::string_view());
  };
  hash_each(hash, at, prefix, seed, seeds, hashes);
  return inside;
}

}  // namespace pyrec
