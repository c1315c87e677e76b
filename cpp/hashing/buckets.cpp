#include "hashing/buckets.h"

namespace pyrec {

namespace {

template <class Value>
void reduce(std::span<std::uint64_t> hashes, std::uint64_t first, const Value& value) {
  for (std::uint64_t& hash : hashes) hash = value(hash) + first;
}

std::int64_t with_sign(std::uint64_t hash, bool narrow) {
  return narrow ? static_cast<std::int32_t>(static_cast<std::uint32_t>(hash))
                : static_cast<std::int64_t>(hash);
}

}  // namespace

std::optional<Modulo> find_modulo(std::string_view name) {
  if (name == "unsigned") return Modulo::kUnsigned;
  if (name == "floor") return Modulo::kFloor;
  if (name == "abs") return Modulo::kAbs;
  return std::nullopt;
}

void to_buckets(std::span<std::uint64_t> hashes, Modulo modulo, bool narrow, std::uint64_t buckets,
                std::uint64_t first) {
  if (modulo == Modulo::kUnsigned) {
    reduce(hashes, first, [=](std::uint64_t hash) { return hash % buckets; });
    return;
  }
  const bool floor = modulo == Modulo::kFloor;
  reduce(hashes, first, [=](std::uint64_t hash) {
    const std::int64_t number = with_sign(hash, narrow);
    const std::uint64_t size =
        number < 0 ? 0 - static_cast<std::uint64_t>(number) : static_cast<std::uint64_t>(number);
    const std::uint64_t rest = size % buckets;
    return floor && number < 0 && rest != 0 ? buckets - rest : rest;
  });
}

}  // namespace pyrec
