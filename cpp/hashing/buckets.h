#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace pyrec {

// What is divided by the number of buckets for the remainder: a hash as it is; as a number with a
// sign, with the remainder of the divisor's sign; or that number without its sign.
enum class Modulo { kUnsigned, kFloor, kAbs };

std::optional<Modulo> find_modulo(std::string_view name);

// Hashes of 32 or 64 bits to `first` and more, in place.
void to_buckets(std::span<std::uint64_t> hashes, Modulo modulo, bool narrow, std::uint64_t buckets,
                std::uint64_t first);

}  // namespace pyrec
