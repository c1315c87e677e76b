#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "hashing/buckets.h"
#include "hashing/farmhash64.h"
#include "hashing/hash.h"
#include "hashing/murmur3.h"
#include "plan/op_list.h"
#include "plan/ops/elementwise.h"
#include "plan/texts.h"
#include "strings/distinct.h"
#include "strings/utf8.h"

namespace pyrec {

namespace {

using Inputs = std::span<const Value* const>;

std::uint64_t number_of(const std::string& text) {
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// The two numbers of a seed; attributes hold none of 64 bits without a sign.
HashSeed read_seed(const Attributes& attributes) {
  const std::vector<std::string> texts = attributes.texts("seed");
  if (texts.size() != 2) return {};
  return {number_of(texts[0]), number_of(texts[1]), {}};
}

// Calls f(texts, first) with the decimal digits of whole numbers, some at a time.
template <class T, class F>
void for_digits(const T* numbers, std::size_t count, const F& f) {
  constexpr std::size_t kBlock = 64, kMost = 20;
  std::array<char, kBlock * kMost> digits;
  std::array<Text, kBlock> texts;
  for (std::size_t first = 0; first < count; first += kBlock) {
    const std::size_t some = std::min(kBlock, count - first);
    for (std::size_t i = 0; i < some; ++i) {
      char* at = digits.data() + i * kMost;
      const char* behind = std::to_chars(at, at + kMost, numbers[first + i]).ptr;
      texts[i] = {at, static_cast<std::size_t>(behind - at)};
    }
    f(std::span<const Text>(texts.data(), some), first);
  }
}

class HashBucket {
 public:
  explicit HashBucket(const OpSpec& spec)
      : seed_(read_seed(spec.attributes)),
        prefix_(spec.attributes.text("prefix", "")),
        digits_(spec.attributes.integer("digits", 0) != 0),
        narrow_(spec.attributes.integer("narrow", 0) != 0),
        buckets_(spec.attributes.integer("buckets", 0)),
        first_(spec.attributes.integer("first", 0)),
        masked_(spec.attributes.integer("masked", 0) != 0),
        mask_text_(spec.attributes.text("mask_text", "")),
        mask_number_(spec.attributes.integer("mask_number", 0)) {
    if (spec.attributes.integer("in_python", 0) != 0) {
      throw OpError(ErrorKind::kElsewhere, "a secret key");
    }
    const std::optional<Hash> hash = find_hash(spec.attributes.text("algorithm", ""));
    const std::optional<Modulo> modulo = find_modulo(spec.attributes.text("modulo", ""));
    if (!hash || !modulo || buckets_ < 1) {
      throw OpError(ErrorKind::kModel, "unknown scheme, or no buckets");
    }
    hash_ = *hash;
    modulo_ = *modulo;
  }

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor x = contiguous(context, required(in, 0));
    const Tensor y = allocate(context, DType::kInt64, x.shape);
    auto* made = y.as<std::uint64_t>();
    in_parts(static_cast<std::size_t>(x.elements()), kWatchedElements,
             [&](std::size_t begin, std::size_t count) {
               if (x.dtype == DType::kText) {
                 texts_to_buckets(x, begin, {made + begin, count});
               } else {
                 numbers_to_buckets(x, begin, {made + begin, count});
               }
             });
    out[0].tensor = y;
  }

 private:
  void texts_to_buckets(const Tensor& x, std::size_t begin, std::span<std::uint64_t> made) const {
    DistinctTexts distinct;
    for (std::size_t first = 0; first < made.size(); first += DistinctTexts::kMost) {
      const std::size_t count = std::min(DistinctTexts::kMost, made.size() - first);
      const std::span<const Text> texts(x.as<Text>() + begin + first, count);
      const std::span<std::uint64_t> here = made.subspan(first, count);
      const bool repeats = distinct.read(texts);
      const std::span<const Text> looked_at = repeats ? distinct.texts() : texts;
      if (!std::ranges::all_of(looked_at,
                               [](Text text) { return is_ascii(text) || is_utf8(text); })) {
        require_utf8(x, static_cast<std::int64_t>(begin + first), static_cast<std::int64_t>(count));
      }
      std::array<std::uint64_t, DistinctTexts::kMost> buckets;
      to_buckets(looked_at, std::span(buckets).first(looked_at.size()));
      for (std::size_t i = 0; i < count; ++i) here[i] = buckets[repeats ? distinct.place(i) : i];
    }
  }

  void to_buckets(std::span<const Text> texts, std::span<std::uint64_t> made) const {
    hash_texts(hash_, texts, prefix_, seed_, {}, made);
    reduce(made);
    if (!masked_) return;
    for (std::size_t i = 0; i < made.size(); ++i) {
      if (texts[i] == mask_text_) made[i] = 0;
    }
  }

  void numbers_to_buckets(const Tensor& x, std::size_t begin, std::span<std::uint64_t> made) const {
    if (!digits_) throw OpError(ErrorKind::kElsewhere, "numbers as bits");
    dispatch(x.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      if constexpr (kIsInteger<T>) {
        const T* numbers = x.as<T>() + begin;
        for_digits(numbers, made.size(), [&](std::span<const Text> texts, std::size_t first) {
          hash_texts(hash_, texts, prefix_, seed_, {}, made.subspan(first, texts.size()));
        });
        reduce(made);
        // The mask has bucket 0.
        for (std::size_t i = 0; masked_ && i < made.size(); ++i) {
          if (std::cmp_equal(numbers[i], mask_number_)) made[i] = 0;
        }
      } else {
        throw OpError(ErrorKind::kElsewhere, "numbers that are not whole");
      }
    });
  }

  void reduce(std::span<std::uint64_t> made) const {
    pyrec::to_buckets(made, modulo_, narrow_, static_cast<std::uint64_t>(buckets_),
                      static_cast<std::uint64_t>(first_));
  }

  Hash hash_{};
  Modulo modulo_{};
  HashSeed seed_;
  std::string prefix_;
  bool digits_;
  bool narrow_;
  std::int64_t buckets_;
  std::int64_t first_;
  bool masked_;
  std::string mask_text_;
  std::int64_t mask_number_;
};

// TensorFlow's FingerprintCat64.
std::uint64_t joined(std::uint64_t first, std::uint64_t second) {
  constexpr std::uint64_t kFactor = 0xc6a4a7935bd1e995;
  const auto shift_mix = [](std::uint64_t value) { return value ^ value >> 47; };
  std::uint64_t made = first ^ kFactor;
  made = (made ^ shift_mix(second * kFactor) * kFactor) * kFactor;
  return shift_mix(shift_mix(made) * kFactor);
}

// Crosses of TensorFlow; other schemes are Python's.
class CrossBucket {
 public:
  explicit CrossBucket(const OpSpec& spec)
      : start_(read_seed(spec.attributes).first),
        keyed_(spec.attributes.integer("keyed", 0) != 0),
        buckets_(spec.attributes.integer("buckets", 0)) {
    if (spec.attributes.integer("joins", 0) == 0) throw OpError(ErrorKind::kElsewhere, "chained");
    if (buckets_ < 1) throw OpError(ErrorKind::kModel, "unknown scheme, or no buckets");
  }

  void run(Context& context, Inputs in, std::span<Value> out) const {
    Shape shape = required(in, 0).shape;
    for (std::size_t i = 1; i < in.size(); ++i) {
      shape = broadcast_shapes(shape, required(in, i).shape);
    }
    const Tensor y = allocate(context, DType::kInt64, shape);
    const std::span<std::uint64_t> made(y.as<std::uint64_t>(),
                                        static_cast<std::size_t>(y.elements()));
    if (keyed_) std::ranges::fill(made, start_);
    for (std::size_t i = 0; i < in.size(); ++i) {
      const Tensor x = contiguous(context, broadcast_to(required(in, i), shape));
      for_features(x, [&](std::size_t at, std::uint64_t feature) {
        made[at] = i == 0 && !keyed_ ? feature : joined(made[at], feature);
      });
    }
    to_buckets(made, Modulo::kUnsigned, false, static_cast<std::uint64_t>(buckets_), 0);
    out[0].tensor = y;
  }

 private:
  template <class F>
  static void for_features(const Tensor& x, const F& f) {
    const auto in_steps = [&](const auto& feature) {
      in_parts(static_cast<std::size_t>(x.elements()), kWatchedElements,
               [&](std::size_t begin, std::size_t count) {
                 for (std::size_t i = begin; i < begin + count; ++i) f(i, feature(i));
               });
    };
    if (x.dtype == DType::kText) {
      in_steps([&](std::size_t i) {
        require_utf8(x, static_cast<std::int64_t>(i));
        return FarmHash64::hash(x.as<Text>()[i], {});
      });
      return;
    }
    dispatch(x.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      if constexpr (kIsInteger<T>) {
        in_steps([&](std::size_t i) {
          return static_cast<std::uint64_t>(static_cast<std::int64_t>(x.as<T>()[i]));
        });
      } else {
        throw OpError(ErrorKind::kDType, "expected strings and whole numbers");
      }
    });
  }

  std::uint64_t start_;
  bool keyed_;
  std::int64_t buckets_;
};

// Of onnxruntime's operators: the bytes of strings and of numbers, as they lie in memory.
class MurmurHash3 {
 public:
  explicit MurmurHash3(const OpSpec& spec)
      : seed_(static_cast<std::uint32_t>(spec.attributes.integer("seed", 0))),
        made_(spec.attributes.integer("positive", 1) != 0 ? DType::kUint32 : DType::kInt32) {}

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor x = contiguous(context, required(in, 0));
    const Tensor y = allocate(context, made_, x.shape);
    const std::size_t size = item_size(x.dtype);
    in_parts(static_cast<std::size_t>(x.elements()), kWatchedElements,
             [&](std::size_t begin, std::size_t count) {
               for (std::size_t i = begin; i < begin + count; ++i) {
                 if (x.dtype == DType::kText) require_utf8(x, static_cast<std::int64_t>(i));
                 const std::string_view bytes =
                     x.dtype == DType::kText
                         ? x.as<Text>()[i]
                         : std::string_view(reinterpret_cast<const char*>(x.data) + i * size, size);
                 y.as<std::uint32_t>()[i] = murmur3::hash32(bytes, seed_);
               }
             });
    out[0].tensor = y;
  }

 private:
  std::uint32_t seed_;
  DType made_;
};

constexpr OpEntry kOps[] = {
    {"com.microsoft.MurmurHash3", make_op<MurmurHash3>},
    {"pyrec.CrossBucket", make_op<CrossBucket>},
    {"pyrec.HashBucket", make_op<HashBucket>},
};

}  // namespace

std::span<const OpEntry> hashed_ops() { return kOps; }

}  // namespace pyrec
