#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "plan/convert.h"
#include "plan/op_list.h"
#include "plan/texts.h"
#include "tables/number_map.h"
#include "tables/text_map.h"

namespace pyrec {

namespace {

using Inputs = std::span<const Value* const>;

bool real(DType dtype) {
  return dtype == DType::kFloat16 || dtype == DType::kFloat32 || dtype == DType::kFloat64;
}

const char* kind_of(DType dtype) {
  return dtype == DType::kText ? "strings" : real(dtype) ? "floats" : "whole numbers";
}

std::uint64_t bits(double value) { return std::bit_cast<std::uint64_t>(value); }

// A number as bits that are equal where the numbers are: one zero, one NaN.
template <class T>
std::uint64_t key(T value) {
  if constexpr (kIsFloating<T>) {
    const auto wide = convert_element<double>(value);
    if (std::isnan(wide)) return bits(std::numeric_limits<double>::quiet_NaN());
    return wide == 0 ? bits(0.0) : bits(wide);
  } else {
    return static_cast<std::uint64_t>(convert_element<std::int64_t>(value));
  }
}

// The bits of a number that is a result: floats as double, with their sign and NaN's payload.
template <class T>
std::uint64_t result_bits(T value) {
  if constexpr (kIsFloating<T>) {
    return bits(convert_element<double>(value));
  } else {
    return static_cast<std::uint64_t>(convert_element<std::int64_t>(value));
  }
}

template <class To>
To result_of(std::uint64_t value) {
  if constexpr (kIsFloating<To>) {
    return convert_element<To>(std::bit_cast<double>(value));
  } else {
    return convert_element<To>(static_cast<std::int64_t>(value));
  }
}

// The keys or the values of an encoder: strings, or numbers of a type.
struct Side {
  DType dtype = DType::kInt64;
  std::vector<std::string> texts;
  std::vector<std::uint64_t> numbers;

  std::size_t size() const { return dtype == DType::kText ? texts.size() : numbers.size(); }

  // Of the attributes that ONNX has for a side, the first that is there.
  static Side read(const Attributes& attributes, const std::string& name) {
    Side side;
    const bool keys = name == "keys";
    const auto add = [&](auto item) {
      side.numbers.push_back(keys ? key(item) : result_bits(item));
    };
    if (attributes.holds_texts(name + "_tensor")) {
      side.dtype = DType::kText;
      side.texts = attributes.texts(name + "_tensor");
      return side;
    }
    if (const Tensor* tensor = attributes.tensor(name + "_tensor")) {
      side.dtype = tensor->dtype;
      dispatch(tensor->dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        for_each_outer(tensor->shape, 0, std::array{tensor->strides},
                       [&](std::int64_t offset) { add(tensor->as<T>()[offset]); });
      });
      return side;
    }
    side.dtype = DType::kText;
    side.texts = attributes.texts(name + "_strings");
    if (!side.texts.empty()) return side;
    side.dtype = DType::kInt64;
    for (std::int64_t item : attributes.integers(name + "_int64s")) add(item);
    if (!side.numbers.empty()) return side;
    side.dtype = DType::kFloat32;
    for (double item : attributes.reals(name + "_floats")) add(static_cast<float>(item));
    if (side.numbers.empty()) throw OpError(ErrorKind::kModel, "it has no " + name);
    return side;
  }
};

// The place of each element among some keys, of equal keys that of the first.
class Places {
 public:
  using Found = std::function<void(std::size_t, std::span<const std::int64_t>)>;

  Places() = default;
  explicit Places(const Side& keys)
      : dtype_(keys.dtype), texts_(keys.texts), numbers_(keys.numbers) {}

  // Calls f(first, places) for successive elements, -1 for those that are no keys. Not a template:
  // there are as many kinds of results as of elements.
  void find(const Tensor& x, const Found& f) const {
    const bool text = x.dtype == DType::kText;
    if (text != (dtype_ == DType::kText) || real(x.dtype) != real(dtype_)) {
      throw OpError(ErrorKind::kDType,
                    std::string("expected ") + kind_of(dtype_) + ", got " + dtype_name(x.dtype));
    }
    std::array<std::int64_t, kBlock> places;
    const auto in_blocks = [&](const Look& look) {
      in_parts(static_cast<std::size_t>(x.elements()), kWatchedElements / 16,
               [&](std::size_t first, std::size_t size) {
                 for (std::size_t begin = first; begin < first + size; begin += kBlock) {
                   const std::size_t count = std::min(kBlock, first + size - begin);
                   look(begin, std::span(places.data(), count));
                   f(begin, std::span(places.data(), count));
                 }
               });
    };
    if (text) {
      in_blocks([&](std::size_t begin, std::span<std::int64_t> found) {
        texts_.find({x.as<Text>() + begin, found.size()}, found);
      });
      return;
    }
    std::array<std::uint64_t, kBlock> keys;
    dispatch(x.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      in_blocks([&](std::size_t begin, std::span<std::int64_t> found) {
        for (std::size_t i = 0; i < found.size(); ++i) keys[i] = key(x.as<T>()[begin + i]);
        numbers_.find({keys.data(), found.size()}, found);
      });
    });
  }

  // For few elements; more take long enough by themselves.
  void prefetch(const Tensor& x, int round) const {
    if (x.dtype != DType::kText || !x.contiguous() || x.elements() > kFew) return;
    const std::span<const Text> texts(x.as<Text>(), static_cast<std::size_t>(x.elements()));
    if (round == 1) texts_.prefetch_starts(texts);
    if (round == 2) texts_.prefetch_buckets(texts);
  }

  // The place of the first key that is equal to one of them.
  std::size_t first_equal(const Side& keys, std::size_t place) const {
    if (dtype_ == DType::kText) return static_cast<std::size_t>(texts_.find(keys.texts[place]));
    std::int64_t found = 0;
    numbers_.find({&keys.numbers[place], 1}, {&found, 1});
    return static_cast<std::size_t>(found);
  }

 private:
  using Look = std::function<void(std::size_t, std::span<std::int64_t>)>;
  static constexpr std::size_t kBlock = 512;
  static constexpr std::int64_t kFew = 64;

  DType dtype_ = DType::kInt64;
  TextMap texts_;
  NumberMap numbers_;
};

// What places stand for; place -1 for what no key is.
class Results {
 public:
  Results() = default;
  explicit Results(Side values) : values_(std::move(values)) {
    for (const std::string& text : values_.texts) texts_.push_back({text.data(), text.size()});
    const std::vector<std::uint64_t>& numbers = values_.numbers;
    in_order_ = !real(values_.dtype) && numbers.size() > 1;
    for (std::size_t i = 0; in_order_ && i + 1 < numbers.size(); ++i) {
      in_order_ = numbers[i] == numbers[0] + i;
    }
    if (in_order_) first_ = numbers.front();
    if (!numbers.empty()) other_ = numbers.back();
  }
  Results(const Results&) = delete;
  Results& operator=(const Results&) = delete;
  Results(Results&&) = default;
  Results& operator=(Results&&) = default;

  Tensor of(Context& context, const Tensor& x, const Places& places) const {
    const Tensor y = allocate(context, values_.dtype, x.shape);
    const auto last = values_.size() - 1;
    const auto chosen = [=](std::int64_t place) {
      return place < 0 ? last : static_cast<std::size_t>(place);
    };
    if (values_.dtype == DType::kText) {
      places.find(x, [&](std::size_t first, std::span<const std::int64_t> found) {
        Text* to = y.as<Text>() + first;
        for (std::int64_t place : found) *to++ = texts_[chosen(place)];
      });
      return y;
    }
    dispatch(values_.dtype, [&](auto tag) {
      using To = typename decltype(tag)::type;
      const std::vector<std::uint64_t>& numbers = values_.numbers;
      places.find(x, [&](std::size_t first, std::span<const std::int64_t> found) {
        To* to = y.as<To>() + first;
        if (!in_order_) {
          for (std::int64_t place : found) *to++ = result_of<To>(numbers[chosen(place)]);
          return;
        }
        for (std::int64_t place : found) {
          const std::uint64_t number = first_ + static_cast<std::uint64_t>(place);
          *to++ = result_of<To>(place < 0 ? other_ : number);
        }
      });
    });
    return y;
  }

 private:
  Side values_;  // the last of them for what no key is
  std::vector<Text> texts_;
  bool in_order_ = false;    // whether those of keys are whole numbers one after another
  std::uint64_t first_ = 0;  // of these
  std::uint64_t other_ = 0;  // the last of all numbers
};

void require_same_size(const Side& keys, const Side& values) {
  if (keys.size() == values.size()) return;
  throw OpError(ErrorKind::kModel, std::to_string(keys.size()) + " keys and " +
                                       std::to_string(values.size()) + " values");
}

class LabelEncoder {
 public:
  explicit LabelEncoder(const OpSpec& spec) {
    const Attributes& attributes = spec.attributes;
    const Side keys = Side::read(attributes, "keys");
    Side values = Side::read(attributes, "values");
    require_same_size(keys, values);
    places_ = Places(keys);
    add_default(attributes, values);
    results_ = Results(std::move(values));
  }

  void run(Context& context, Inputs in, std::span<Value> out) const {
    out[0].tensor = results_.of(context, contiguous(context, required(in, 0)), places_);
  }

  void prefetch(Inputs in, int round) const {
    if (const Tensor* x = optional(in, 0)) places_.prefetch(*x, round);
  }

 private:
  static void add_default(const Attributes& attributes, Side& values) {
    const bool text = attributes.holds_texts("default_tensor");
    const Tensor* tensor = text ? nullptr : attributes.tensor("default_tensor");
    if (values.dtype == DType::kText) {
      const auto texts = text ? attributes.texts("default_tensor") : std::vector<std::string>();
      if (tensor != nullptr) throw OpError(ErrorKind::kElsewhere, "a number beside strings");
      values.texts.push_back(texts.size() == 1 ? texts[0]
                                               : attributes.text("default_string", "_Unused"));
      return;
    }
    if (text) throw OpError(ErrorKind::kElsewhere, "a string beside numbers");
    const bool given = tensor != nullptr && tensor->elements() == 1;
    if (real(values.dtype)) {
      values.numbers.push_back(
          bits(given ? read_scalar(*tensor) : attributes.real("default_float", -0.0)));
    } else {
      values.numbers.push_back(static_cast<std::uint64_t>(
          given ? read_integer(*tensor) : attributes.integer("default_int64", -1)));
    }
  }

  Places places_;
  Results results_;
};

// A LabelEncoder between strings and whole numbers that goes the way that its input asks for.
class CategoryMapper {
 public:
  explicit CategoryMapper(const OpSpec& spec) {
    const Attributes& attributes = spec.attributes;
    Side texts, numbers;
    texts.dtype = DType::kText;
    texts.texts = attributes.texts("cats_strings");
    for (std::int64_t item : attributes.integers("cats_int64s"))
      numbers.numbers.push_back(key(item));
    if (texts.size() != numbers.size()) {
      throw OpError(ErrorKind::kModel, std::to_string(texts.size()) + " strings, " +
                                           std::to_string(numbers.size()) + " integers");
    }
    // Of equal ones the last counts.
    std::ranges::reverse(texts.texts);
    std::ranges::reverse(numbers.numbers);
    by_text_ = Places(texts);
    by_number_ = Places(numbers);
    texts.texts.push_back(attributes.text("default_string", "_Unused"));
    numbers.numbers.push_back(key(attributes.integer("default_int64", -1)));
    texts_ = Results(std::move(texts));
    numbers_ = Results(std::move(numbers));
  }

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor x = contiguous(context, required(in, 0));
    const bool text = x.dtype == DType::kText;
    out[0].tensor = text ? numbers_.of(context, x, by_text_) : texts_.of(context, x, by_number_);
  }

 private:
  Places by_text_, by_number_;
  Results texts_, numbers_;
};

class OneHotEncoder {
 public:
  explicit OneHotEncoder(const OpSpec& spec)
      : skip_unknown_(spec.attributes.integer("zeros", 1) != 0) {
    Side categories;
    categories.texts = spec.attributes.texts("cats_strings");
    for (std::int64_t item : spec.attributes.integers("cats_int64s")) {
      categories.numbers.push_back(key(item));
    }
    if (categories.texts.empty() == categories.numbers.empty()) {
      throw OpError(ErrorKind::kModel, "expected either cats_strings or cats_int64s");
    }
    if (!categories.texts.empty()) categories.dtype = DType::kText;
    count_ = categories.size();
    places_ = Places(categories);
    same_.resize(count_);
    for (std::size_t i = 0; i < count_; ++i) {
      const std::size_t first = places_.first_equal(categories, i);
      if (first != i) same_[first].push_back(i);
    }
  }

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor& given = required(in, 0);
    // Floats are truncated.
    const bool cut = real(given.dtype);
    const Tensor x = contiguous(context, cut ? cast(context, given, DType::kInt64) : given);
    Shape shape = x.shape;
    shape.push_back(static_cast<std::int64_t>(count_));
    const Tensor y = allocate(context, DType::kFloat32, shape);
    std::fill_n(y.as<float>(), y.elements(), 0.0F);
    places_.find(x, [&](std::size_t first, std::span<const std::int64_t> found) {
      float* hot = y.as<float>() + first * count_;
      for (std::size_t i = 0; i < found.size(); ++i, hot += count_) {
        if (found[i] < 0) {
          if (skip_unknown_) continue;
          throw OpError(ErrorKind::kIdRange, "a value is not one of the categories",
                        row_of(x, static_cast<std::int64_t>(first + i)));
        }
        hot[found[i]] = 1.0F;
        for (std::size_t other : same_[static_cast<std::size_t>(found[i])]) hot[other] = 1.0F;
      }
    });
    out[0].tensor = y;
  }

 private:
  bool skip_unknown_;
  std::size_t count_ = 0;
  Places places_;
  // For the first of equal categories, the places of the others, which are hot with it.
  std::vector<std::vector<std::size_t>> same_;
};

constexpr OpEntry kOps[] = {
    {"ai.onnx.ml.CategoryMapper", make_op<CategoryMapper>},
    {"ai.onnx.ml.LabelEncoder", make_op<LabelEncoder>},
    {"ai.onnx.ml.OneHotEncoder", make_op<OneHotEncoder>},
};

}  // namespace

std::span<const OpEntry> encoder_ops() { return kOps; }

}  // namespace pyrec
