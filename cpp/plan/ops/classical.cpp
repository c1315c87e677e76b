#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plan/convert.h"
#include "plan/op_list.h"
#include "plan/ops/scores.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

using Inputs = std::span<const Value* const>;

[[noreturn]] void fail(const std::string& rule) { throw OpError(ErrorKind::kModel, rule); }

std::vector<float> floats(const Attributes& attributes, const std::string& key) {
  const std::vector<double> values = attributes.reals(key);
  std::vector<float> result(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) result[i] = static_cast<float>(values[i]);
  return result;
}

// Calls f(TypeTag<T>) with the type that reals of this dtype are computed in.
template <class F>
void as_real(DType dtype, F f) {
  if (dtype == DType::kFloat64) {
    f(TypeTag<double>{});
  } else {
    f(TypeTag<float>{});
  }
}

std::int64_t last_axis(const Tensor& x) { return x.rank() == 0 ? 1 : x.shape[x.rank() - 1]; }

// One value for all columns, or one for each.
void check_columns(const char* name, std::size_t given, std::int64_t columns) {
  if (given != 1 && static_cast<std::int64_t>(given) != columns) {
    throw OpError(ErrorKind::kShape, std::string(name) + ": expected 1 or " +
                                         std::to_string(columns) + " values, got " +
                                         std::to_string(given));
  }
}

class Scaler {
 public:
  explicit Scaler(const OpSpec& spec)
      : scale_(floats(spec.attributes, "scale")), offset_(floats(spec.attributes, "offset")) {
    if (scale_.empty()) scale_ = {1.0F};
    if (offset_.empty()) offset_ = {0.0F};
  }

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor& x = required(in, 0);
    const std::int64_t columns = last_axis(x);
    check_columns("scale", scale_.size(), columns);
    check_columns("offset", offset_.size(), columns);
    const Tensor y = allocate(context, DType::kFloat32, x.shape);
    as_real(x.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      const Tensor source = contiguous(context, cast(context, x, DTypeOf<T>::value));
      const std::int64_t n = source.elements();
      std::int64_t column = 0;
      for (std::int64_t i = 0; i < n; ++i) {
        const auto at = static_cast<std::size_t>(column);
        const T offset = offset_[offset_.size() == 1 ? 0 : at];
        const T scale = scale_[scale_.size() == 1 ? 0 : at];
        y.as<float>()[i] = static_cast<float>((source.as<T>()[i] - offset) * scale);
        if (++column == columns) column = 0;
      }
    });
    out[0].tensor = y;
  }

 private:
  std::vector<float> scale_;
  std::vector<float> offset_;
};

class Normalizer {
 public:
  explicit Normalizer(const OpSpec& spec) : norm_(spec.attributes.text("norm", "MAX")) {
    if (norm_ != "MAX" && norm_ != "L1" && norm_ != "L2") fail("unknown norm");
  }

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor& x = required(in, 0);
    const Tensor matrix = feature_matrix(context, x, DType::kFloat32);
    const Tensor y = allocate(context, DType::kFloat32, x.shape);
    const std::int64_t n = matrix.shape[1];
    for (std::int64_t row = 0; n > 0 && row < matrix.shape[0]; ++row) {
      const float* from = matrix.as<float>() + row * n;
      float* to = y.as<float>() + row * n;
      float norm = norm_ == "MAX" ? *std::max_element(from, from + n) : 0.0F;
      for (std::int64_t i = 0; i < n && norm_ != "MAX"; ++i) {
        norm += norm_ == "L1" ? std::abs(from[i]) : from[i] * from[i];
      }
      if (norm_ == "L2") norm = std::sqrt(norm);
      for (std::int64_t i = 0; i < n; ++i) to[i] = norm == 0 ? from[i] : from[i] / norm;
    }
    out[0].tensor = y;
  }

 private:
  std::string norm_;
};

class Imputer {
 public:
  explicit Imputer(const OpSpec& spec)
      : reals_(floats(spec.attributes, "imputed_value_floats")),
        integers_(spec.attributes.integers("imputed_value_int64s")),
        replaced_real_(static_cast<float>(spec.attributes.real("replaced_value_float", 0))),
        replaced_integer_(spec.attributes.integer("replaced_value_int64", 0)) {
    if (reals_.empty() == integers_.empty()) {
      fail("expected either imputed_value_floats or imputed_value_int64s");
    }
  }

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor& x = required(in, 0);
    const bool real = x.dtype == DType::kFloat32 || x.dtype == DType::kFloat64;
    if (real == reals_.empty() || (!real && x.dtype != DType::kInt64 && x.dtype != DType::kInt32)) {
      throw OpError(ErrorKind::kDType, std::string("no imputed values for ") + dtype_name(x.dtype));
    }
    const std::int64_t columns = last_axis(x);
    check_columns("imputed values", real ? reals_.size() : integers_.size(), columns);
    const Tensor y = allocate(context, x.dtype, x.shape);
    copy_elements(x, y);
    switch (x.dtype) {
      case DType::kFloat32:
        impute<float>(y, columns, reals_, replaced_real_);
        break;
      case DType::kFloat64:
        impute<double>(y, columns, reals_, replaced_real_);
        break;
      case DType::kInt32:
        impute<std::int32_t>(y, columns, integers_, replaced_integer_);
        break;
      default:
        impute<std::int64_t>(y, columns, integers_, replaced_integer_);
        break;
    }
    out[0].tensor = y;
  }

 private:
  template <class T, class V>
  static void impute(const Tensor& y, std::int64_t columns, const std::vector<V>& values,
                     V replaced) {
    const std::int64_t n = y.elements();
    std::int64_t column = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      T& item = y.as<T>()[i];
      bool hit = item == replaced;
      if constexpr (std::is_floating_point_v<T>) {
        hit = hit || (std::isnan(replaced) && std::isnan(item));
      }
      if (hit) {
        item = static_cast<T>(values[values.size() == 1 ? 0 : static_cast<std::size_t>(column)]);
      }
      if (++column == columns) column = 0;
    }
  }

  std::vector<float> reals_;
  std::vector<std::int64_t> integers_;
  float replaced_real_;
  std::int64_t replaced_integer_;
};

class Binarizer {
 public:
  explicit Binarizer(const OpSpec& spec)
      : threshold_(static_cast<float>(spec.attributes.real("threshold", 0))) {}

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor x = contiguous(context, required(in, 0));
    const Tensor y = allocate(context, x.dtype, x.shape);
    const std::int64_t n = x.elements();
    dispatch(x.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (std::int64_t i = 0; i < n; ++i) {
        const auto value = convert_element<double>(x.as<T>()[i]);
        y.as<T>()[i] = convert_element<T>(value > threshold_ ? 1.0F : 0.0F);
      }
    });
    out[0].tensor = y;
  }

 private:
  float threshold_;
};

class OneHotEncoder {
 public:
  explicit OneHotEncoder(const OpSpec& spec)
      : skip_unknown_(spec.attributes.integer("zeros", 1) != 0) {
    const std::vector<std::int64_t> categories = spec.attributes.integers("cats_int64s");
    if (categories.empty()) {
      throw OpError(ErrorKind::kUnsupported, "string categories, or none at all");
    }
    count_ = static_cast<std::int64_t>(categories.size());
    for (std::int64_t i = 0; i < count_; ++i) {
      places_.insert_or_assign(categories[static_cast<std::size_t>(i)], i);
    }
  }

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor& given = required(in, 0);
    const Tensor x = contiguous(context, cast(context, given, DType::kInt64));
    Shape shape = x.shape;
    shape.push_back(count_);
    const Tensor y = allocate(context, DType::kFloat32, shape);
    const std::int64_t n = x.elements();
    std::fill_n(y.as<float>(), n * count_, 0.0F);
    for (std::int64_t i = 0; i < n; ++i) {
      const auto found = places_.find(x.as<std::int64_t>()[i]);
      if (found != places_.end()) {
        y.as<float>()[i * count_ + found->second] = 1.0F;
      } else if (!skip_unknown_) {
        throw OpError(ErrorKind::kIdRange, "a value is not one of the categories",
                      x.rank() > 0 ? i / std::max<std::int64_t>(1, n / x.shape[0]) : -1);
      }
    }
    out[0].tensor = y;
  }

 private:
  bool skip_unknown_;
  std::int64_t count_;
  std::unordered_map<std::int64_t, std::int64_t> places_;
};

struct ArrayFeatureExtractor {
  explicit ArrayFeatureExtractor(const OpSpec&) {}

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor& given = required(in, 0);
    const Tensor columns = contiguous(context, cast(context, required(in, 1), DType::kInt64));
    if (given.rank() == 0) throw OpError(ErrorKind::kShape, "expected rows of features");
    const Tensor x = contiguous(context, given);
    const std::int64_t width = last_axis(x);
    const std::int64_t count = columns.elements();
    Shape shape = x.rank() == 1 ? Shape{1} : Shape{};
    for (int axis = 0; axis + 1 < x.rank(); ++axis) shape.push_back(x.shape[axis]);
    shape.push_back(count);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t column = columns.as<std::int64_t>()[i];
      if (column < 0 || column >= width) {
        throw OpError(ErrorKind::kShape,
                      "a column is outside of the " + std::to_string(width) + " features");
      }
    }
    const Tensor y = allocate(context, x.dtype, shape);
    const std::int64_t rows = count == 0 ? 0 : y.elements() / count;
    dispatch_size(x.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      for (std::int64_t row = 0; row < rows; ++row) {
        for (std::int64_t i = 0; i < count; ++i) {
          y.as<T>()[row * count + i] = x.as<T>()[row * width + columns.as<std::int64_t>()[i]];
        }
      }
    });
    out[0].tensor = y;
  }
};

class FeatureVectorizer {
 public:
  explicit FeatureVectorizer(const OpSpec& spec)
      : widths_(spec.attributes.integers("inputdimensions")) {
    for (std::int64_t width : widths_) {
      if (width < 0 || width > (std::int64_t{1} << 31)) fail("inputdimensions are out of range");
    }
  }

  void run(Context& context, Inputs in, std::span<Value> out) const {
    std::vector<Tensor> parts;
    std::int64_t total = 0;
    for (std::size_t i = 0; i < in.size(); ++i) {
      parts.push_back(feature_matrix(context, required(in, i), DType::kFloat32));
      if (parts[i].shape[0] != parts[0].shape[0]) {
        throw OpError(ErrorKind::kShape, "the inputs have different numbers of rows");
      }
      total += width_of(i, parts[i]);
    }
    if (parts.empty()) fail("expected at least one input");
    const std::int64_t rows = parts[0].shape[0];
    const Tensor y = allocate(context, DType::kFloat32, {rows, total});
    std::fill_n(y.as<float>(), y.elements(), 0.0F);
    std::int64_t offset = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const std::int64_t given = parts[i].shape[1];
      const std::int64_t width = width_of(i, parts[i]);
      for (std::int64_t row = 0; row < rows; ++row) {
        std::copy_n(parts[i].as<float>() + row * given, std::min(given, width),
                    y.as<float>() + row * total + offset);
      }
      offset += width;
    }
    out[0].tensor = y;
  }

 private:
  std::int64_t width_of(std::size_t index, const Tensor& part) const {
    return index < widths_.size() ? widths_[index] : part.shape[1];
  }

  std::vector<std::int64_t> widths_;
};

// Numbers to numbers; integers are kept as they are, reals by their bits as double.
class LabelEncoder {
 public:
  explicit LabelEncoder(const OpSpec& spec) {
    const Attributes& attributes = spec.attributes;
    std::vector<std::uint64_t> keys;
    std::vector<std::uint64_t> values;
    if (!read(attributes, "keys", keys, key_type_) ||
        !read(attributes, "values", values, value_type_)) {
      throw OpError(ErrorKind::kUnsupported, "string keys or values, or none at all");
    }
    if (keys.size() != values.size()) {
      fail(std::to_string(keys.size()) + " keys and " + std::to_string(values.size()) + " values");
    }
    for (std::size_t i = 0; i < keys.size(); ++i) map_.emplace(keys[i], values[i]);
    fallback_ = real(value_type_)
                    ? bits(attributes.real("default_float", -0.0))
                    : static_cast<std::uint64_t>(attributes.integer("default_int64", -1));
    if (const Tensor* tensor = attributes.tensor("default_tensor")) {
      fallback_ = real(value_type_) ? bits(read_scalar(*tensor))
                                    : static_cast<std::uint64_t>(read_integer(*tensor));
    }
  }

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const Tensor& given = required(in, 0);
    if (real(given.dtype) != real(key_type_)) {
      throw OpError(ErrorKind::kDType, std::string("expected ") + dtype_name(key_type_) + ", got " +
                                           dtype_name(given.dtype));
    }
    const Tensor x = contiguous(context, given);
    const Tensor y = allocate(context, value_type_, x.shape);
    const std::int64_t n = x.elements();
    dispatch(x.dtype, [&](auto from) {
      using From = typename decltype(from)::type;
      dispatch(value_type_, [&](auto to) {
        using To = typename decltype(to)::type;
        for (std::int64_t i = 0; i < n; ++i) {
          const auto found = map_.find(key(x.as<From>()[i]));
          const std::uint64_t value = found == map_.end() ? fallback_ : found->second;
          if constexpr (kIsFloating<To>) {
            y.as<To>()[i] = convert_element<To>(std::bit_cast<double>(value));
          } else {
            y.as<To>()[i] = convert_element<To>(static_cast<std::int64_t>(value));
          }
        }
      });
    });
    out[0].tensor = y;
  }

 private:
  static bool real(DType dtype) {
    return dtype == DType::kFloat16 || dtype == DType::kFloat32 || dtype == DType::kFloat64;
  }

  static std::uint64_t bits(double value) { return std::bit_cast<std::uint64_t>(value); }

  // Equal keys have equal bits: one zero and one NaN.
  template <class T>
  static std::uint64_t key(T value) {
    if constexpr (kIsFloating<T>) {
      const auto wide = convert_element<double>(value);
      if (std::isnan(wide)) return bits(std::numeric_limits<double>::quiet_NaN());
      return wide == 0 ? bits(0.0) : bits(wide);
    } else {
      return static_cast<std::uint64_t>(convert_element<std::int64_t>(value));
    }
  }

  static bool read(const Attributes& attributes, const std::string& name,
                   std::vector<std::uint64_t>& items, DType& dtype) {
    const bool keys = name == "keys";
    if (const Tensor* tensor = attributes.tensor(name + "_tensor")) {
      dtype = tensor->dtype;
      dispatch(dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        for_each_outer(tensor->shape, 0, std::array{tensor->strides}, [&](std::int64_t offset) {
          const T item = tensor->as<T>()[offset];
          if (kIsFloating<T> && !keys) {
            items.push_back(bits(convert_element<double>(item)));
          } else {
            items.push_back(key(item));
          }
        });
      });
      return true;
    }
    for (double item : attributes.reals(name + "_floats")) {
      const auto rounded = static_cast<float>(item);
      items.push_back(keys ? key(rounded) : bits(rounded));
    }
    dtype = DType::kFloat32;
    if (!items.empty()) return true;
    for (std::int64_t item : attributes.integers(name + "_int64s")) items.push_back(key(item));
    dtype = DType::kInt64;
    return !items.empty();
  }

  DType key_type_ = DType::kInt64;
  DType value_type_ = DType::kInt64;
  std::uint64_t fallback_;
  std::unordered_map<std::uint64_t, std::uint64_t> map_;
};

// The array of a map's values stands for the map.
struct ZipMap {
  explicit ZipMap(const OpSpec&) {}
  void run(Context&, Inputs in, std::span<Value> out) const { out[0].tensor = required(in, 0); }
};

constexpr OpEntry kOps[] = {
    {"ai.onnx.ml.ArrayFeatureExtractor", make_op<ArrayFeatureExtractor>},
    {"ai.onnx.ml.Binarizer", make_op<Binarizer>},
    {"ai.onnx.ml.FeatureVectorizer", make_op<FeatureVectorizer>},
    {"ai.onnx.ml.Imputer", make_op<Imputer>},
    {"ai.onnx.ml.LabelEncoder", make_op<LabelEncoder>},
    {"ai.onnx.ml.Normalizer", make_op<Normalizer>},
    {"ai.onnx.ml.OneHotEncoder", make_op<OneHotEncoder>},
    {"ai.onnx.ml.Scaler", make_op<Scaler>},
    {"ai.onnx.ml.ZipMap", make_op<ZipMap>},
};

}  // namespace

std::span<const OpEntry> classical_ops() { return kOps; }

}  // namespace pyrec
