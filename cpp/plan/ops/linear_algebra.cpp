#include "plan/ops/linear_algebra.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/reduction.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

bool packable(const Tensor* tensor) {
  return tensor && tensor->rank() >= 2 &&
         (tensor->dtype == DType::kFloat32 || tensor->dtype == DType::kFloat16);
}

// Kernels take strides without a sign.
Tensor with_positive_strides(Context& context, const Tensor& tensor) {
  for (std::int64_t stride : tensor.strides) {
    if (stride < 0) return contiguous(context, tensor);
  }
  return tensor;
}

// One right matrix for every row of the left: a single product.
void multiply_folded(Context& context, const Product& product, Tensor a, const Tensor& b,
                     const PackedF32* packed, const float* bias, float* out) {
  const int last = a.rank() - 1;
  std::optional<std::int64_t> row = merged_stride(a, 0, last);
  if (!row || *row < 0 || (a.strides[last] != 1 && product.k > 1)) {
    a = contiguous(context, a);
    row = product.k;
  }
  BufferRef buffer;
  const float* right = nullptr;
  if (packed) {
    right = packed->matrix(0);
  } else {
    const int rank = b.rank();
    buffer = pack(context, b.as<float>(), product.k, product.n, b.strides[rank - 2],
                  b.strides[rank - 1]);
    right = reinterpret_cast<const float*>(buffer.get()->data());
  }
  const std::size_t n = unsigned_size(product.n), k = unsigned_size(product.k);
  const std::size_t lda = unsigned_size(*row);
  in_parts(unsigned_size(product.batch.elements() * product.m), watched_rows(k, n),
           [&](std::size_t begin, std::size_t count) {
             context.kernels.gemm_f32(a.as<float>() + begin * lda, lda, right, bias, 0,
                                      Activation::kNone, out + begin * n, n, count, n, k, nullptr);
           });
}

void multiply_batches(Context& context, const Product& product, Tensor a, const Tensor& b,
                      const PackedF32* packed, const float* bias, float* out) {
  const Kernels& kernels = context.kernels;
  const std::size_t m = unsigned_size(product.m);
  const std::size_t n = unsigned_size(product.n);
  const std::size_t k = unsigned_size(product.k);
  if (a.strides[a.rank() - 1] != 1 && product.k > 1) a = contiguous(context, a);
  const std::int64_t row_step = b.strides[b.rank() - 2];
  const std::int64_t column_step = b.strides[b.rank() - 1];
  const Shape b_batch = batch_of(b);
  const Shape result_strides = contiguous_strides(product.result_shape());
  const Shape a_strides = batch_strides(product.batch, batch_of(a), a.strides);
  const Shape b_strides =
      batch_strides(product.batch, b_batch, packed ? contiguous_strides(b_batch) : b.strides);
  const float* left = a.as<float>();
  const std::size_t lda = unsigned_size(a.strides[a.rank() - 2]);

  // A product with one row reads its right matrix once, so laying it out first would not pay.
  if (!packed && !bias && product.m == 1 && column_step == 1 &&
      (row_step == product.n || product.k == 1)) {
    const BufferRef indices = context.arena.allocate(k * sizeof(std::int64_t));
    auto* rows = reinterpret_cast<std::int64_t*>(indices.get()->data());
    std::iota(rows, rows + k, std::int64_t{0});
    for_each_outer<3>(product.batch, 0, {a_strides, b_strides, result_strides},
                      [&](std::int64_t i, std::int64_t j, std::int64_t o) {
                        kernels.bag_sum_f32(b.as<float>() + j, n, rows, left + i, k, out + o);
                      });
    return;
  }

  BufferRef buffer;
  float* scratch = nullptr;
  if (!packed) {
    buffer = context.arena.allocate(kernels.packed_size_f32(k, n) * sizeof(float));
    scratch = reinterpret_cast<float*>(buffer.get()->data());
  }
  std::int64_t laid_out = -1;
  for_each_outer<3>(product.batch, 0, {a_strides, b_strides, result_strides},
                    [&](std::int64_t i, std::int64_t j, std::int64_t o) {
                      const float* right = scratch;
                      if (packed) {
                        right = packed->matrix(j);
                      } else if (laid_out != j) {
                        kernels.pack_f32(b.as<float>() + j, k, n, unsigned_size(row_step),
                                         unsigned_size(column_step), scratch);
                        laid_out = j;
                      }
                      in_parts(m, watched_rows(k, n), [&](std::size_t row, std::size_t count) {
                        kernels.gemm_f32(left + i + row * lda, lda, right, bias, 0,
                                         Activation::kNone, out + o + row * n, n, count, n, k,
                                         nullptr);
                      });
                    });
}

template <class T>
void multiply_loops(Context& context, const Product& product, const Tensor& a, const Tensor& b,
                    T* out) {
  const Tensor left = contiguous(context, a);
  const Tensor right = contiguous(context, b);
  const Shape strides = contiguous_strides(product.result_shape());
  for_each_outer<3>(
      product.batch, 0,
      {batch_strides(product.batch, batch_of(a), left.strides),
       batch_strides(product.batch, batch_of(b), right.strides), strides},
      [&](std::int64_t i, std::int64_t j, std::int64_t o) {
        const std::size_t rows =
            watched_rows(unsigned_size(product.k), unsigned_size(product.n)) / 16 + 1;
        in_parts(unsigned_size(product.m), rows, [&](std::size_t part, std::size_t count) {
          const auto row = static_cast<std::int64_t>(part);
          gemm_loops<T>(left.as<T>() + i + row * product.k, product.k, 1, right.as<T>() + j,
                        product.n, 1, out + o + row * product.n, product.n,
                        static_cast<std::int64_t>(count), product.n, product.k);
        });
      });
}

Tensor transposed(const Tensor& matrix) { return permuted(matrix, {1, 0}); }

Tensor with_last_axis(const Tensor& tensor) {
  Shape shape = tensor.shape;
  Shape strides = tensor.strides;
  shape.push_back(1);
  strides.push_back(1);
  return view(tensor, shape, strides);
}

Tensor without_axis(const Tensor& tensor, int gone) {
  Shape shape, strides;
  for (int axis = 0; axis < tensor.rank(); ++axis) {
    if (axis == gone) continue;
    shape.push_back(tensor.shape[axis]);
    strides.push_back(tensor.strides[axis]);
  }
  return view(tensor, shape, strides);
}

class MatMul {
 public:
  explicit MatMul(const OpSpec& spec) {
    if (const Tensor* b = constant_input(spec, 1); packable(b)) {
      right_ = std::make_unique<PackedF32>(spec.kernels, *b);
    }
    if (const Tensor* a = constant_input(spec, 0); packable(a) && a->rank() == 2) {
      left_ = std::make_unique<PackedF32>(spec.kernels, transposed(*a));
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const MatrixOperands operands("MatMul", required(in, 0), required(in, 1));
    const Tensor& a = operands.a;
    const Tensor& b = operands.b;
    require_same_dtype("MatMul", a, b);
    // W x for a batch of column vectors x is one product x^T W^T.
    if (!operands.row && a.rank() == 2 && b.rank() > 2 && b.shape[b.rank() - 1] == 1) {
      out[0].tensor = with_last_axis(
          matmul(context, without_axis(b, b.rank() - 1), transposed(a), left_.get()));
      return;
    }
    out[0].tensor =
        operands.restore(matmul(context, a, b, operands.column ? nullptr : right_.get()));
  }

 private:
  std::unique_ptr<PackedF32> right_;
  std::unique_ptr<PackedF32> left_;  // transposed
};

class Gemm {
 public:
  explicit Gemm(const OpSpec& spec)
      : transpose_a_(spec.attributes.integer("transA", 0) != 0),
        transpose_b_(spec.attributes.integer("transB", 0) != 0),
        alpha_(spec.attributes.real("alpha", 1.0)),
        beta_(spec.attributes.real("beta", 1.0)) {
    if (const Tensor* b = constant_input(spec, 1); packable(b) && b->rank() == 2) {
      packed_ = std::make_unique<PackedF32>(spec.kernels, transpose_b_ ? transposed(*b) : *b);
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    Tensor a = required(in, 0);
    Tensor b = required(in, 1);
    const Tensor* c = optional(in, 2);
    if (a.rank() != 2 || b.rank() != 2) {
      throw OpError(ErrorKind::kShape, "Gemm: expected two matrices, got shapes " +
                                           describe(a.shape) + " and " + describe(b.shape));
    }
    require_same_dtype("Gemm", a, b);
    if (c) require_same_dtype("Gemm", a, *c);
    if (transpose_a_) a = transposed(a);
    if (transpose_b_) b = transposed(b);
    const DType dtype = a.dtype;
    Tensor addend;
    const bool adds = c && beta_ != 0.0;
    if (adds) addend = *c;
    if (dtype == DType::kFloat16) {
      a = cast(context, a, DType::kFloat32);
      if (adds) addend = cast(context, addend, DType::kFloat32);
    }
    if (adds) {
      const Shape target{a.shape[0], b.shape[1]};
      if (addend.rank() > 2 || !(broadcast_shapes(addend.shape, target) == target)) {
        throw OpError(ErrorKind::kShape, "Gemm: C of shape " + describe(addend.shape) +
                                             " does not broadcast to " + describe(target));
      }
      addend = broadcast_to(addend, target);
    }
    if (a.dtype == DType::kFloat32) {
      Tensor result = run_f32(context, a, b, adds ? &addend : nullptr);
      out[0].tensor = dtype == DType::kFloat16 ? cast(context, result, dtype) : result;
      return;
    }
    out[0].tensor = run_other(context, a, b, adds ? &addend : nullptr);
  }

 private:
  Tensor run_f32(Context& context, const Tensor& a, const Tensor& b, const Tensor* c) const {
    const Kernels& kernels = context.kernels;
    const auto alpha = static_cast<float>(alpha_);
    const auto beta = static_cast<float>(beta_);
    // The rows of C are one vector where it repeats along them (one row included).
    const bool vector = c && (c->strides[0] == 0 || c->shape[0] == 1) && c->shape[0] > 0;
    Tensor bias;
    if (vector) {
      bias = contiguous(context, view(*c, {c->shape[1]}, {c->strides[1]}));
      if (beta != 1.0f) bias = scaled(context, bias, beta);
    }
    if (alpha == 1.0f && (!c || vector)) {
      return matmul(context, a, b, packed_.get(), vector ? bias.as<float>() : nullptr);
    }
    const Tensor result = matmul(context, a, b, packed_.get());
    auto* y = result.as<float>();
    const auto elements = unsigned_size(result.elements());
    const auto n = unsigned_size(result.shape[1]);
    if (alpha != 1.0f) kernels.multiply_f32(y, 1, &alpha, 0, y, elements);
    if (c && elements != 0) {
      const Tensor rows = vector
                              ? broadcast_to(bias, result.shape)
                              : contiguous(context, beta == 1.0f ? *c : scaled(context, *c, beta));
      for (std::int64_t i = 0; i < result.shape[0]; ++i) {
        float* row = y + unsigned_size(i) * n;
        kernels.add_f32(row, 1, rows.as<float>() + i * rows.strides[0], 1, row, n);
      }
    }
    return result;
  }

  static Tensor scaled(Context& context, const Tensor& tensor, float factor) {
    const Tensor source = contiguous(context, tensor);
    const Tensor result = allocate(context, DType::kFloat32, source.shape);
    context.kernels.multiply_f32(source.as<float>(), 1, &factor, 0, result.as<float>(),
                                 unsigned_size(source.elements()));
    return result;
  }

  Tensor run_other(Context& context, const Tensor& a, const Tensor& b, const Tensor* c) const {
    const Tensor result = matmul(context, a, b);
    dispatch(result.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      if constexpr (std::is_same_v<T, double>) {
        blend<double>(result, c, alpha_, beta_);
      } else if constexpr (std::is_integral_v<T> && sizeof(T) >= 4) {
        if (alpha_ != 1.0 || (c && beta_ != 1.0)) {
          throw OpError(ErrorKind::kUnsupported, "Gemm: alpha or beta with integers");
        }
        using Unsigned = std::make_unsigned_t<T>;
        blend<Unsigned>(result, c, Unsigned{1}, Unsigned{1});
      }
    });
    return result;
  }

  template <class T>
  static void blend(const Tensor& result, const Tensor* c, T alpha, T beta) {
    T* y = result.as<T>();
    for (std::int64_t i = 0; i < result.shape[0]; ++i) {
      for (std::int64_t j = 0; j < result.shape[1]; ++j, ++y) {
        *y *= alpha;
        if (c) *y += beta * c->as<T>()[i * c->strides[0] + j * c->strides[1]];
      }
    }
  }

  bool transpose_a_, transpose_b_;
  double alpha_, beta_;
  std::unique_ptr<PackedF32> packed_;
};

// Labels of an Einsum term: 'a'..'z' and 'A'..'Z' stand for themselves; the axes of an ellipsis,
// counted from the last, are kEllipsis + 0, 1, ...
using Label = int;
using Labels = std::vector<Label>;
constexpr Label kEllipsis = 256;
constexpr std::size_t kLabels = 256 + kMaxRank;

bool contains(const Labels& labels, Label label) {
  return std::find(labels.begin(), labels.end(), label) != labels.end();
}

struct Labelled {
  Tensor tensor;
  Labels labels;
};

// A term as written: letters, and where its ellipsis stands.
struct Term {
  Labels before, after;
  bool ellipsis = false;

  explicit Term(const std::string& text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (c == '.') {
        if (ellipsis || text.compare(i, 3, "...") != 0) fail();
        ellipsis = true;
        i += 2;
      } else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
        (ellipsis ? after : before).push_back(c);
      } else {
        fail();
      }
    }
  }

  [[noreturn]] static void fail() {
    throw OpError(ErrorKind::kModel, "Einsum: the equation is not well formed");
  }

  int letters() const { return static_cast<int>(before.size() + after.size()); }

  Labels labels(int ellipsis_axes) const {
    Labels all = before;
    for (int i = ellipsis_axes; ellipsis && i-- > 0;) all.push_back(kEllipsis + i);
    all.insert(all.end(), after.begin(), after.end());
    return all;
  }
};

class Einsum {
 public:
  explicit Einsum(const OpSpec& spec) {
    std::string equation;
    for (char c : spec.attributes.text("equation", "")) {
      if (c != ' ') equation.push_back(c);
    }
    const std::size_t arrow = equation.find("->");
    const std::string left = equation.substr(0, arrow);
    for (std::size_t start = 0;;) {
      const std::size_t comma = left.find(',', start);
      terms_.emplace_back(left.substr(start, comma == std::string::npos ? comma : comma - start));
      if (comma == std::string::npos) break;
      start = comma + 1;
    }
    if (arrow != std::string::npos) {
      result_.emplace_back(equation.substr(arrow + 2));
    } else {
      result_.emplace_back(implicit_result());
    }
    check_result();
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    if (in.size() != terms_.size()) {
      throw OpError(ErrorKind::kModel, "Einsum: the equation has another number of terms");
    }
    std::vector<Labelled> operands;
    int ellipsis_axes = 0;
    for (std::size_t i = 0; i < terms_.size(); ++i) {
      const Tensor& tensor = required(in, i);
      if (i > 0) require_same_dtype("Einsum", required(in, 0), tensor);
      const int extra = tensor.rank() - terms_[i].letters();
      if (extra < 0 || (extra > 0 && !terms_[i].ellipsis)) {
        throw OpError(ErrorKind::kShape, "Einsum: operand " + std::to_string(i) + " of shape " +
                                             describe(tensor.shape) + " does not fit its term");
      }
      ellipsis_axes = std::max(ellipsis_axes, extra);
      operands.push_back(diagonal({tensor, terms_[i].labels(extra)}));
    }
    const Labels result = result_.front().labels(ellipsis_axes);
    std::vector<std::int64_t> sizes(kLabels, 1);
    for (const Labelled& operand : operands) {
      for (std::size_t axis = 0; axis < operand.labels.size(); ++axis) {
        std::int64_t& size = sizes[static_cast<std::size_t>(operand.labels[axis])];
        const std::int64_t found = operand.tensor.shape[static_cast<int>(axis)];
        if (size != found && size != 1 && found != 1) {
          throw OpError(ErrorKind::kShape, "Einsum: an index has sizes " + std::to_string(size) +
                                               " and " + std::to_string(found));
        }
        if (size == 1) size = found;
      }
    }
    Labelled total = expanded(operands[0], sizes);
    for (std::size_t i = 1; i < operands.size(); ++i) {
      Labels needed = result;
      for (std::size_t j = i + 1; j < operands.size(); ++j) {
        needed.insert(needed.end(), operands[j].labels.begin(), operands[j].labels.end());
      }
      total = contract(context, total, expanded(operands[i], sizes), needed);
    }
    total = summed(context, total, result);
    out[0].tensor = arranged(total, result);
  }

 private:
  // Without an arrow: the ellipsis, then every letter that occurs once, in order.
  std::string implicit_result() const {
    std::vector<int> counts(kLabels, 0);
    bool ellipsis = false;
    for (const Term& term : terms_) {
      ellipsis = ellipsis || term.ellipsis;
      for (Label label : term.labels(0)) ++counts[static_cast<std::size_t>(label)];
    }
    std::string text = ellipsis ? "..." : "";
    for (int c = 'A'; c <= 'z'; ++c) {
      if (counts[static_cast<std::size_t>(c)] == 1) text.push_back(static_cast<char>(c));
    }
    return text;
  }

  void check_result() const {
    const Labels result = result_.front().labels(0);
    bool ellipsis = false;
    for (const Term& term : terms_) ellipsis = ellipsis || term.ellipsis;
    if (result_.front().ellipsis && !ellipsis) Term::fail();
    for (Label label : result) {
      const bool known = std::any_of(terms_.begin(), terms_.end(), [&](const Term& term) {
        return contains(term.labels(0), label);
      });
      if (!known || std::count(result.begin(), result.end(), label) != 1) Term::fail();
    }
  }

  // Repeated labels of one operand become one axis along the diagonal.
  static Labelled diagonal(const Labelled& operand) {
    Labels labels;
    Shape shape, strides;
    for (std::size_t i = 0; i < operand.labels.size(); ++i) {
      const int axis = static_cast<int>(i);
      const Label label = operand.labels[i];
      const auto found = std::find(labels.begin(), labels.end(), label);
      if (found == labels.end()) {
        labels.push_back(label);
        shape.push_back(operand.tensor.shape[axis]);
        strides.push_back(operand.tensor.strides[axis]);
        continue;
      }
      const int at = static_cast<int>(found - labels.begin());
      if (shape[at] != operand.tensor.shape[axis]) {
        throw OpError(ErrorKind::kShape, "Einsum: a repeated index has different sizes");
      }
      strides[at] += operand.tensor.strides[axis];
    }
    return {view(operand.tensor, shape, strides), labels};
  }

  static Labelled expanded(const Labelled& operand, const std::vector<std::int64_t>& sizes) {
    Shape shape;
    for (Label label : operand.labels) shape.push_back(sizes[static_cast<std::size_t>(label)]);
    return {broadcast_to(operand.tensor, shape), operand.labels};
  }

  // Sums over the labels that are not in `needed`.
  static Labelled summed(Context& context, const Labelled& operand, const Labels& needed) {
    AxisMask mask = 0;
    Labels kept;
    for (std::size_t i = 0; i < operand.labels.size(); ++i) {
      if (contains(needed, operand.labels[i])) {
        kept.push_back(operand.labels[i]);
      } else {
        mask |= axis_bit(static_cast<int>(i));
      }
    }
    if (mask == 0) return operand;
    return {reduce(context, operand.tensor, Reduction::kSum, mask, false), kept};
  }

  // The operand with its axes in the order of `labels`; a label it lacks becomes size 1.
  static Tensor arranged(const Labelled& operand, const Labels& labels) {
    Shape shape, strides;
    for (Label label : labels) {
      const auto found = std::find(operand.labels.begin(), operand.labels.end(), label);
      if (found == operand.labels.end()) {
        shape.push_back(1);
        strides.push_back(0);
      } else {
        const int axis = static_cast<int>(found - operand.labels.begin());
        shape.push_back(operand.tensor.shape[axis]);
        strides.push_back(operand.tensor.strides[axis]);
      }
    }
    return view(operand.tensor, shape, strides);
  }

  static Labels joined(const Labels& a, const Labels& b, const Labels& c = {}) {
    Labels all = a;
    all.insert(all.end(), b.begin(), b.end());
    all.insert(all.end(), c.begin(), c.end());
    return all;
  }

  static Labelled contract(Context& context, const Labelled& first, const Labelled& second,
                           const Labels& needed) {
    const Labelled a = summed(context, first, joined(needed, second.labels));
    const Labelled b = summed(context, second, joined(needed, first.labels));
    Labels batch, inner, rows, columns;
    for (Label label : a.labels) {
      if (!contains(b.labels, label)) {
        rows.push_back(label);
      } else {
        (contains(needed, label) ? batch : inner).push_back(label);
      }
    }
    for (Label label : b.labels) {
      if (!contains(a.labels, label)) columns.push_back(label);
    }
    if (inner.empty() || (rows.empty() && columns.empty())) {
      const Labels all = joined(batch, joined(rows, columns), inner);
      const Tensor left = arranged(a, all);
      const Tensor right = arranged(b, all);
      return summed(context, {multiplied(context, left, right), all}, needed);
    }
    const Tensor left = grouped(context, a, batch, rows, inner);
    const Tensor right = grouped(context, b, batch, inner, columns);
    const Tensor result = matmul(context, left, right);
    Shape shape;
    for (Label label : batch) shape.push_back(size_of(a, label));
    for (Label label : rows) shape.push_back(size_of(a, label));
    for (Label label : columns) shape.push_back(size_of(b, label));
    return {reshaped(context, result, shape), joined(batch, rows, columns)};
  }

  static std::int64_t size_of(const Labelled& operand, Label label) {
    const auto found = std::find(operand.labels.begin(), operand.labels.end(), label);
    return operand.tensor.shape[static_cast<int>(found - operand.labels.begin())];
  }

  // Three axes, one for each group of labels.
  static Tensor grouped(Context& context, const Labelled& operand, const Labels& first,
                        const Labels& second, const Labels& third) {
    const auto count = [](const Labels& labels) { return static_cast<int>(labels.size()); };
    Tensor tensor = arranged(operand, joined(first, second, third));
    tensor = merge_axes(context, tensor, count(first) + count(second), tensor.rank());
    tensor = merge_axes(context, tensor, count(first), count(first) + count(second));
    return merge_axes(context, tensor, 0, count(first));
  }

  static Tensor multiplied(Context& context, const Tensor& first, const Tensor& second) {
    const Shape shape = broadcast_shapes(first.shape, second.shape);
    Tensor result = allocate(context, first.dtype, shape);
    if (result.elements() == 0) return result;
    const Tensor a = broadcast_to(first, shape);
    const Tensor b = broadcast_to(second, shape);
    dispatch(first.dtype, [&](auto tag) {
      using T = typename decltype(tag)::type;
      if constexpr (std::is_same_v<T, float>) {
        multiply_f32(context, a, b, result);
      } else if constexpr (std::is_same_v<T, Half>) {
        multiply_loops_of<Half>(a, b, result, [](Half x, Half y) {
          return Half(static_cast<float>(x) * static_cast<float>(y));
        });
      } else if constexpr (std::is_same_v<T, double>) {
        multiply_loops_of<double>(a, b, result, [](double x, double y) { return x * y; });
      } else if constexpr (!std::is_same_v<T, bool>) {
        multiply_loops_of<T>(a, b, result, [](T x, T y) {
          return static_cast<T>(static_cast<std::uint64_t>(x) * static_cast<std::uint64_t>(y));
        });
      } else {
        refuse_dtype("Einsum", first.dtype);
      }
    });
    return result;
  }

  template <class T, class F>
  static void multiply_loops_of(const Tensor& a, const Tensor& b, const Tensor& result, F&& f) {
    T* out = result.as<T>();
    for_each_outer<2>(result.shape, 0, {a.strides, b.strides}, [&](std::int64_t i, std::int64_t j) {
      *out++ = f(a.as<T>()[i], b.as<T>()[j]);
    });
  }

  static void multiply_f32(Context& context, Tensor a, Tensor b, const Tensor& result) {
    const int last = result.rank() - 1;
    if (last < 0) {
      *result.as<float>() = *a.as<float>() * *b.as<float>();
      return;
    }
    const std::int64_t n = result.shape[last];
    const auto suits = [&](const Tensor& x) {
      return n == 1 || x.strides[last] == 0 || x.strides[last] == 1;
    };
    if (!suits(a)) a = contiguous(context, a);
    if (!suits(b)) b = contiguous(context, b);
    const std::size_t a_step = a.strides[last] == 0 ? 0 : 1;
    const std::size_t b_step = b.strides[last] == 0 ? 0 : 1;
    float* out = result.as<float>();
    for_each_outer<2>(result.shape, 1, {a.strides, b.strides}, [&](std::int64_t i, std::int64_t j) {
      context.kernels.multiply_f32(a.as<float>() + i, a_step, b.as<float>() + j, b_step, out,
                                   unsigned_size(n));
      out += n;
    });
  }

  std::vector<Term> terms_;
  std::vector<Term> result_;  // exactly one
};

constexpr OpEntry kOps[] = {
    {"MatMul", make_op<MatMul>},
    {"Gemm", make_op<Gemm>},
    {"Einsum", make_op<Einsum>},
};

}  // namespace

Product::Product(const Tensor& a, const Tensor& b)
    : batch(broadcast_shapes(batch_of(a), batch_of(b))),
      m(a.shape[a.rank() - 2]),
      n(b.shape[b.rank() - 1]),
      k(a.shape[a.rank() - 1]) {
  if (b.shape[b.rank() - 2] != k) {
    throw OpError(ErrorKind::kShape, "matrix product of shapes " + describe(a.shape) + " and " +
                                         describe(b.shape) + ": the inner sizes differ");
  }
}

Shape Product::result_shape() const {
  Shape shape = batch;
  shape.push_back(m);
  shape.push_back(n);
  return shape;
}

MatrixOperands::MatrixOperands(const std::string& op, const Tensor& left, const Tensor& right)
    : a(left), b(right), row(left.rank() == 1), column(right.rank() == 1) {
  if (a.rank() == 0 || b.rank() == 0) {
    throw OpError(ErrorKind::kShape, op + ": an operand has no axes");
  }
  if (row) a = view(a, {1, a.shape[0]}, {0, a.strides[0]});
  if (column) b = with_last_axis(b);
}

Tensor MatrixOperands::restore(const Tensor& product) const {
  Tensor result = column ? without_axis(product, product.rank() - 1) : product;
  if (row) result = without_axis(result, result.rank() - (column ? 1 : 2));
  return result;
}

Tensor matmul(Context& context, const Tensor& a, const Tensor& b, const PackedF32* packed,
              const float* bias) {
  const Product product(a, b);
  if (b.dtype == DType::kFloat16) {
    const Tensor left = cast(context, a, DType::kFloat32);
    if (packed) {
      Tensor right = b;  // only its shape is read
      right.dtype = DType::kFloat32;
      const Tensor result = matmul(context, left, right, packed, bias);
      return a.dtype == DType::kFloat16 ? cast(context, result, DType::kFloat16) : result;
    }
    const Tensor right = cast(context, b, DType::kFloat32);
    const Tensor result = matmul(context, left, right, nullptr, bias);
    return a.dtype == DType::kFloat16 ? cast(context, result, DType::kFloat16) : result;
  }
  require_same_dtype("MatMul", a, b);
  Tensor result = allocate(context, a.dtype, product.result_shape());
  if (result.elements() == 0) return result;
  dispatch(a.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    if constexpr (std::is_same_v<T, float>) {
      const Tensor left = with_positive_strides(context, a);
      const Tensor right = packed ? b : with_positive_strides(context, b);
      const auto multiply = batch_of(b).elements() == 1 ? multiply_folded : multiply_batches;
      multiply(context, product, left, right, packed, bias, result.as<float>());
    } else if constexpr (std::is_same_v<T, double>) {
      multiply_loops<double>(context, product, a, b, result.as<double>());
    } else if constexpr (std::is_integral_v<T> && sizeof(T) >= 4) {
      using Unsigned = std::make_unsigned_t<T>;
      multiply_loops<Unsigned>(context, product, a, b, result.as<Unsigned>());
    } else {
      refuse_dtype("MatMul", a.dtype);
    }
  });
  return result;
}

std::span<const OpEntry> linear_algebra_ops() { return kOps; }

}  // namespace pyrec
