#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
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
    {"ai.onnx.ml.Normalizer", make_op<Normalizer>},
    {"ai.onnx.ml.Scaler", make_op<Scaler>},
    {"ai.onnx.ml.ZipMap", make_op<ZipMap>},
};

}  // namespace

std::span<const OpEntry> classical_ops() { return kOps; }

}  // namespace pyrec
