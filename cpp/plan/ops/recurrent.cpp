#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/dense.h"
#include "plan/ops/linear_algebra.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

enum class Cell { kRnn, kGru, kLstm };

enum class Function {
  kRelu,
  kTanh,
  kSigmoid,
  kAffine,
  kLeakyRelu,
  kThresholdedRelu,
  kScaledTanh,
  kHardSigmoid,
  kElu,
  kSoftsign,
  kSoftplus,
};

struct FunctionKind {
  const char* name;
  bool has_alpha;
  double alpha;
  bool has_beta;
  double beta;
};

constexpr FunctionKind kFunctions[] = {
    {"relu", false, 0, false, 0},        {"tanh", false, 0, false, 0},
    {"sigmoid", false, 0, false, 0},     {"affine", true, 1, true, 0},
    {"leakyrelu", true, 0.01, false, 0}, {"thresholdedrelu", true, 1, false, 0},
    {"scaledtanh", true, 1, true, 1},    {"hardsigmoid", true, 0.2, true, 0.5},
    {"elu", true, 1, false, 0},          {"softsign", false, 0, false, 0},
    {"softplus", false, 0, false, 0},
};

struct CellFunction {
  Function function;
  double alpha;
  double beta;
};

[[noreturn]] void fail(const std::string& rule) { throw OpError(ErrorKind::kModel, rule); }

void check_shape(const char* name, const Tensor& tensor, const Shape& expected) {
  if (!(tensor.shape == expected)) {
    throw OpError(ErrorKind::kShape, std::string(name) + ": expected shape " + describe(expected) +
                                         ", got " + describe(tensor.shape));
  }
}

template <class T>
T apply_one(const CellFunction& f, T x) {
  const T alpha = static_cast<T>(f.alpha);
  const T beta = static_cast<T>(f.beta);
  switch (f.function) {
    case Function::kRelu:
      return x < 0 ? T(0) : x;
    case Function::kTanh:
      return std::tanh(x);
    case Function::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Function::kAffine:
      return alpha * x + beta;
    case Function::kLeakyRelu:
      return x < 0 ? alpha * x : x;
    case Function::kThresholdedRelu:
      return x > alpha ? x : T(0);
    case Function::kScaledTanh:
      return alpha * std::tanh(beta * x);
    case Function::kHardSigmoid:
      return std::min(T(1), std::max(T(0), alpha * x + beta));
    case Function::kElu:
      return x < 0 ? alpha * std::expm1(x) : x;
    case Function::kSoftsign:
      return x / (1 + std::abs(x));
    case Function::kSoftplus:
      return std::max(x, T(0)) + std::log1p(std::exp(-std::abs(x)));
  }
  return x;
}

template <class T>
void apply(const Kernels& kernels, const CellFunction& f, T* x, std::int64_t n) {
  if constexpr (std::is_same_v<T, float>) {
    const auto count = static_cast<std::size_t>(n);
    if (f.function == Function::kSigmoid) return kernels.sigmoid_f32(x, x, count);
    if (f.function == Function::kTanh) return kernels.tanh_f32(x, x, count);
    if (f.function == Function::kRelu) return kernels.relu_f32(x, x, count);
  }
  for (std::int64_t i = 0; i < n; ++i) x[i] = apply_one(f, x[i]);
}

// The right operand [k, n] of a product, laid out once.
template <class T>
struct Matrix {
  AlignedArray<T> data;
  std::int64_t k = 0;
  std::int64_t n = 0;
};

// From rows [n, k] of weights: the product is with their transpose.
template <class T>
Matrix<T> lay_out(const Kernels& kernels, const T* weights, std::int64_t n, std::int64_t k) {
  Matrix<T> matrix;
  matrix.k = k;
  matrix.n = n;
  const auto rows = static_cast<std::size_t>(k);
  const auto columns = static_cast<std::size_t>(n);
  if constexpr (std::is_same_v<T, float>) {
    matrix.data = AlignedArray<T>(kernels.packed_size_f32(rows, columns));
    kernels.pack_f32(weights, rows, columns, 1, rows, matrix.data.data());
  } else {
    matrix.data = AlignedArray<T>(rows * columns);
    for (std::int64_t i = 0; i < k; ++i) {
      for (std::int64_t j = 0; j < n; ++j) matrix.data.data()[i * n + j] = weights[j * k + i];
    }
  }
  return matrix;
}

// c[m, n] = a[m, k] * matrix + bias.
template <class T>
void multiply(const Kernels& kernels, const T* a, const Matrix<T>& matrix, const T* bias, T* c,
              std::int64_t m) {
  if (m == 0 || matrix.n == 0) return;
  if constexpr (std::is_same_v<T, float>) {
    kernels.gemm_f32(a, static_cast<std::size_t>(matrix.k), matrix.data.data(), bias, 0,
                     Activation::kNone, c, static_cast<std::size_t>(matrix.n),
                     static_cast<std::size_t>(m), static_cast<std::size_t>(matrix.n),
                     static_cast<std::size_t>(matrix.k), nullptr);
  } else {
    gemm_loops<T>(a, matrix.k, 1, matrix.data.data(), matrix.n, 1, c, matrix.n, m, matrix.n,
                  matrix.k);
    if (!bias) return;
    for (std::int64_t i = 0; i < m; ++i) {
      for (std::int64_t j = 0; j < matrix.n; ++j) c[i * matrix.n + j] += bias[j];
    }
  }
}

// The weights of one direction. A GRU without linear_before_reset needs the hidden gate apart.
template <class T>
struct Weights {
  Matrix<T> input;
  Matrix<T> hidden;
  Matrix<T> candidate;
};

template <Cell kCell>
class Recurrent {
 public:
  explicit Recurrent(const OpSpec& spec) {
    const Attributes& attributes = spec.attributes;
    const std::string direction = attributes.text("direction", "forward");
    if (direction == "forward") {
      reverse_ = {false};
    } else if (direction == "reverse") {
      reverse_ = {true};
    } else if (direction == "bidirectional") {
      reverse_ = {false, true};
    } else {
      fail("unknown direction");
    }
    const std::int64_t layout = attributes.integer("layout", 0);
    if (layout != 0 && layout != 1) fail("unknown layout");
    batch_first_ = layout == 1;
    hidden_size_ = attributes.integer("hidden_size", -1);
    reset_first_ = kCell == Cell::kGru && attributes.integer("linear_before_reset", 0) == 0;
    input_forget_ = attributes.integer("input_forget", 0) != 0;
    clip_ = attributes.real("clip", 0);
    read_functions(attributes);
    if (spec.constants.size() < 3) fail("expected X, W and R");
    const Tensor* w = spec.constants[1];
    const Tensor* r = spec.constants[2];
    if (w && r && w->contiguous() && r->contiguous() && w->dtype == r->dtype) {
      if (w->dtype == DType::kFloat32) packed_f32_ = prepare<float>(spec.kernels, *w, *r);
      if (w->dtype == DType::kFloat64) packed_f64_ = prepare<double>(spec.kernels, *w, *r);
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const DType dtype = required(in, 0).dtype;
    if (dtype == DType::kFloat64) {
      run_as<double>(context, in, out, packed_f64_);
    } else if (dtype == DType::kFloat32 || dtype == DType::kFloat16) {
      run_as<float>(context, in, out, packed_f32_);
      for (Value& value : out) value.tensor = cast(context, value.tensor, dtype);
    } else {
      throw OpError(ErrorKind::kDType,
                    std::string("expected floating-point input, got ") + dtype_name(dtype));
    }
  }

 private:
  static constexpr int kGates = kCell == Cell::kRnn ? 1 : kCell == Cell::kGru ? 3 : 4;
  static constexpr std::size_t kFunctionCount = kCell == Cell::kRnn   ? 1
                                                : kCell == Cell::kGru ? 2
                                                                      : 3;

  void read_functions(const Attributes& attributes) {
    std::vector<std::string> names = attributes.texts("activations");
    if (names.empty()) {
      for (std::size_t d = 0; d < reverse_.size(); ++d) {
        if (kCell != Cell::kRnn) names.push_back("sigmoid");
        names.push_back("tanh");
        if (kCell == Cell::kLstm) names.push_back("tanh");
      }
    }
    if (names.size() != kFunctionCount * reverse_.size()) {
      fail("expected " + std::to_string(kFunctionCount * reverse_.size()) + " activations, got " +
           std::to_string(names.size()));
    }
    const std::vector<double> alphas = attributes.reals("activation_alpha");
    const std::vector<double> betas = attributes.reals("activation_beta");
    std::size_t alpha = 0;
    std::size_t beta = 0;
    for (std::string name : names) {
      for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      const auto* kind = std::find_if(std::begin(kFunctions), std::end(kFunctions),
                                      [&](const FunctionKind& k) { return name == k.name; });
      if (kind == std::end(kFunctions)) fail("unknown activation");
      CellFunction f{static_cast<Function>(kind - std::begin(kFunctions)), kind->alpha, kind->beta};
      if (kind->has_alpha && alpha < alphas.size()) f.alpha = alphas[alpha++];
      if (kind->has_beta && beta < betas.size()) f.beta = betas[beta++];
      functions_.push_back(f);
    }
  }

  template <class T>
  std::vector<Weights<T>> prepare(const Kernels& kernels, const Tensor& w, const Tensor& r) const {
    const auto directions = static_cast<std::int64_t>(reverse_.size());
    if (w.rank() != 3 || r.rank() != 3) {
      throw OpError(ErrorKind::kShape, "W and R: expected rank 3, got shapes " + describe(w.shape) +
                                           " and " + describe(r.shape));
    }
    const std::int64_t hidden = r.shape[2];
    const std::int64_t size = w.shape[2];
    check_shape("W", w, {directions, kGates * hidden, size});
    check_shape("R", r, {directions, kGates * hidden, hidden});
    if (hidden_size_ >= 0 && hidden_size_ != hidden) {
      throw OpError(ErrorKind::kShape, "hidden_size is " + std::to_string(hidden_size_) +
                                           ", R has shape " + describe(r.shape));
    }
    std::vector<Weights<T>> result;
    for (std::int64_t d = 0; d < directions; ++d) {
      const T* input = w.as<T>() + d * kGates * hidden * size;
      const T* recurrent = r.as<T>() + d * kGates * hidden * hidden;
      Weights<T> weights;
      weights.input = lay_out(kernels, input, kGates * hidden, size);
      weights.hidden = lay_out(kernels, recurrent, (reset_first_ ? 2 : kGates) * hidden, hidden);
      if (reset_first_) {
        weights.candidate = lay_out(kernels, recurrent + 2 * hidden * hidden, hidden, hidden);
      }
      result.push_back(std::move(weights));
    }
    return result;
  }

  // Everything of one run that does not depend on the direction.
  struct Sizes {
    std::int64_t steps, batch, hidden;
    std::int64_t gates() const { return kGates * hidden; }
  };

  template <class T>
  static Tensor as_type(Context& context, const Tensor& tensor) {
    return contiguous(context, cast(context, tensor, DTypeOf<T>::value));
  }

  // [batch, directions, ...] as [directions, batch, ...], or [batch, steps, ...] as [steps, ...].
  Tensor leading_axes(const Tensor& tensor) const {
    if (!batch_first_ || tensor.rank() != 3) return tensor;
    Tensor swapped = tensor;
    std::swap(swapped.shape[0], swapped.shape[1]);
    std::swap(swapped.strides[0], swapped.strides[1]);
    return swapped;
  }

  template <class T>
  Tensor initial(Context& context, std::span<const Value* const> in, std::size_t index,
                 const char* name, const Sizes& sizes) const {
    const Shape shape{static_cast<std::int64_t>(reverse_.size()), sizes.batch, sizes.hidden};
    if (const Tensor* given = optional(in, index)) {
      const Tensor ordered = leading_axes(*given);
      check_shape(name, ordered, shape);
      Tensor copy = allocate(context, DTypeOf<T>::value, shape);
      copy_elements(cast(context, ordered, DTypeOf<T>::value), copy);
      return copy;
    }
    Tensor zeros = allocate(context, DTypeOf<T>::value, shape);
    std::fill_n(zeros.as<T>(), zeros.elements(), T(0));
    return zeros;
  }

  template <class T>
  void run_as(Context& context, std::span<const Value* const> in, std::span<Value> out,
              const std::vector<Weights<T>>& prepared) const {
    constexpr DType kType = DTypeOf<T>::value;
    const auto directions = static_cast<std::int64_t>(reverse_.size());
    const Tensor& x_given = required(in, 0);
    const std::vector<Weights<T>> made =
        prepared.empty() ? prepare<T>(context.kernels, as_type<T>(context, required(in, 1)),
                                      as_type<T>(context, required(in, 2)))
                         : std::vector<Weights<T>>();
    const std::vector<Weights<T>>& weights = prepared.empty() ? made : prepared;
    if (x_given.rank() != 3) {
      throw OpError(ErrorKind::kShape, "X: expected rank 3, got shape " + describe(x_given.shape));
    }
    const Tensor x = as_type<T>(context, leading_axes(x_given));
    const Sizes sizes{x.shape[0], x.shape[1], weights[0].hidden.k};
    check_shape("X", x, {sizes.steps, sizes.batch, weights[0].input.k});

    std::vector<std::int64_t> lengths(static_cast<std::size_t>(sizes.batch), sizes.steps);
    bool ragged = false;
    if (const Tensor* given = optional(in, 4)) {
      check_shape("sequence_lens", *given, {sizes.batch});
      lengths = read_integers(*given);
      for (std::size_t row = 0; row < lengths.size(); ++row) {
        if (lengths[row] < 0 || lengths[row] > sizes.steps) {
          throw OpError(ErrorKind::kShape,
                        "a length is outside of [0, " + std::to_string(sizes.steps) + "]",
                        static_cast<std::int64_t>(row));
        }
        ragged = ragged || lengths[row] < sizes.steps;
      }
    }
    Tensor bias;
    if (const Tensor* given = optional(in, 3)) {
      check_shape("B", *given, {directions, 2 * sizes.gates()});
      bias = as_type<T>(context, *given);
    }
    Tensor peepholes;
    if (kCell == Cell::kLstm && optional(in, 7)) {
      check_shape("P", *optional(in, 7), {directions, 3 * sizes.hidden});
      peepholes = as_type<T>(context, *optional(in, 7));
    }
    const Tensor h = initial<T>(context, in, 5, "initial_h", sizes);
    Tensor c;
    if (kCell == Cell::kLstm) c = initial<T>(context, in, 6, "initial_c", sizes);

    const Shape y_shape = batch_first_ ? Shape{sizes.batch, sizes.steps, directions, sizes.hidden}
                                       : Shape{sizes.steps, directions, sizes.batch, sizes.hidden};
    const Tensor y = allocate(context, kType, y_shape);
    if (ragged) std::fill_n(y.as<T>(), y.elements(), T(0));
    const std::int64_t y_step = y.strides[batch_first_ ? 1 : 0];
    const std::int64_t y_direction = y.strides[batch_first_ ? 2 : 1];
    const std::int64_t y_row = y.strides[batch_first_ ? 0 : 2];

    const Tensor gates = allocate(context, kType, {sizes.steps * sizes.batch, sizes.gates()});
    const Tensor recurrent = allocate(context, kType, {sizes.batch, sizes.gates()});
    const Tensor reset = allocate(context, kType, {reset_first_ ? sizes.batch : 0, sizes.hidden});
    const std::int64_t longest =
        lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end());
    const Kernels& kernels = context.kernels;

    for (std::int64_t d = 0; d < directions; ++d) {
      const auto index = static_cast<std::size_t>(d);
      const Weights<T>& w = weights[index];
      const Biases<T> biases(bias.data ? bias.as<T>() + d * 2 * sizes.gates() : nullptr, sizes,
                             kCell == Cell::kGru && !reset_first_);
      T* state = h.as<T>() + d * sizes.batch * sizes.hidden;
      T* cell = kCell == Cell::kLstm ? c.as<T>() + d * sizes.batch * sizes.hidden : nullptr;
      const T* peephole = peepholes.data ? peepholes.as<T>() + d * 3 * sizes.hidden : nullptr;
      const CellFunction* f = functions_.data() + index * kFunctionCount;
      multiply(kernels, x.as<T>(), w.input, biases.input.data(), gates.as<T>(),
               sizes.steps * sizes.batch);
      for (std::int64_t step = 0; step < longest; ++step) {
        multiply(kernels, state, w.hidden, biases.hidden.empty() ? nullptr : biases.hidden.data(),
                 recurrent.as<T>(), sizes.batch);
        const auto time_of = [&](std::int64_t row) {
          const std::int64_t length = lengths[static_cast<std::size_t>(row)];
          return step >= length ? -1 : reverse_[index] ? length - 1 - step : step;
        };
        const auto gates_of = [&](std::int64_t row) {
          return gates.as<T>() + (time_of(row) * sizes.batch + row) * sizes.gates();
        };
        if (reset_first_) {
          reset_gates(kernels, f, sizes, time_of, gates_of, recurrent.as<T>(), state,
                      reset.as<T>());
          multiply<T>(kernels, reset.as<T>(), w.candidate, nullptr, recurrent.as<T>(), sizes.batch);
        }
        for (std::int64_t row = 0; row < sizes.batch; ++row) {
          if (time_of(row) < 0) continue;
          T* a = gates_of(row);
          T* state_row = state + row * sizes.hidden;
          if constexpr (kCell == Cell::kRnn) {
            const T* r = recurrent.as<T>() + row * sizes.hidden;
            for (std::int64_t i = 0; i < sizes.hidden; ++i) a[i] += r[i];
            activate(kernels, f[0], a, sizes.hidden);
            std::copy_n(a, sizes.hidden, state_row);
          } else if constexpr (kCell == Cell::kGru) {
            gru_row(kernels, f, sizes, a, recurrent.as<T>(), row, state_row);
          } else {
            lstm_row(kernels, f, sizes, a, recurrent.as<T>() + row * sizes.gates(), peephole,
                     cell + row * sizes.hidden, state_row);
          }
          std::copy_n(state_row, sizes.hidden,
                      y.as<T>() + time_of(row) * y_step + d * y_direction + row * y_row);
        }
      }
    }
    out[0].tensor = y;
    if (out.size() > 1) out[1].tensor = leading_axes(h);
    if (out.size() > 2) {
      if (kCell != Cell::kLstm) fail("expected at most two outputs");
      out[2].tensor = leading_axes(c);
    }
  }

  // The biases that go with the input and with the hidden product.
  template <class T>
  struct Biases {
    Biases(const T* given, const Sizes& sizes, bool split)
        : input(static_cast<std::size_t>(sizes.gates()), T(0)) {
      if (split) hidden.assign(static_cast<std::size_t>(sizes.gates()), T(0));
      if (!given) return;
      for (std::int64_t i = 0; i < sizes.gates(); ++i) {
        const auto index = static_cast<std::size_t>(i);
        const T recurrent = given[sizes.gates() + i];
        // The reset gate of a GRU multiplies the hidden gate's product with its bias.
        const bool apart = split && i >= 2 * sizes.hidden;
        input[index] = apart ? given[i] : given[i] + recurrent;
        if (apart) hidden[index] = recurrent;
      }
    }
    std::vector<T> input;
    std::vector<T> hidden;
  };

  template <class T>
  void activate(const Kernels& kernels, const CellFunction& f, T* x, std::int64_t n) const {
    if (clip_ > 0) {
      const T limit = static_cast<T>(clip_);
      for (std::int64_t i = 0; i < n; ++i) x[i] = std::min(limit, std::max(-limit, x[i]));
    }
    apply(kernels, f, x, n);
  }

  // Update and reset gates, and the state after the reset.
  template <class T, class Time, class Gates>
  void reset_gates(const Kernels& kernels, const CellFunction* f, const Sizes& sizes, Time time_of,
                   Gates gates_of, const T* recurrent, const T* state, T* reset) const {
    const std::int64_t n = sizes.hidden;
    for (std::int64_t row = 0; row < sizes.batch; ++row) {
      T* out = reset + row * n;
      if (time_of(row) < 0) {
        std::fill_n(out, n, T(0));
        continue;
      }
      T* a = gates_of(row);
      const T* r = recurrent + row * 2 * n;
      for (std::int64_t i = 0; i < 2 * n; ++i) a[i] += r[i];
      activate(kernels, f[0], a, 2 * n);
      for (std::int64_t i = 0; i < n; ++i) out[i] = a[n + i] * state[row * n + i];
    }
  }

  template <class T>
  void gru_row(const Kernels& kernels, const CellFunction* f, const Sizes& sizes, T* a,
               const T* recurrent, std::int64_t row, T* state) const {
    const std::int64_t n = sizes.hidden;
    T* candidate = a + 2 * n;
    if (reset_first_) {
      const T* r = recurrent + row * n;
      for (std::int64_t i = 0; i < n; ++i) candidate[i] += r[i];
    } else {
      const T* r = recurrent + row * 3 * n;
      for (std::int64_t i = 0; i < 2 * n; ++i) a[i] += r[i];
      activate(kernels, f[0], a, 2 * n);
      for (std::int64_t i = 0; i < n; ++i) candidate[i] += a[n + i] * r[2 * n + i];
    }
    activate(kernels, f[1], candidate, n);
    for (std::int64_t i = 0; i < n; ++i) state[i] = (1 - a[i]) * candidate[i] + a[i] * state[i];
  }

  // Gates in the order input, output, forget, cell; peepholes are input, output, forget.
  template <class T>
  void lstm_row(const Kernels& kernels, const CellFunction* f, const Sizes& sizes, T* a,
                const T* recurrent, const T* peephole, T* cell, T* state) const {
    const std::int64_t n = sizes.hidden;
    for (std::int64_t i = 0; i < 4 * n; ++i) a[i] += recurrent[i];
    T* output = a + n;
    T* forget = a + 2 * n;
    T* update = a + 3 * n;
    if (peephole) {
      for (std::int64_t i = 0; i < n; ++i) {
        a[i] += peephole[i] * cell[i];
        forget[i] += peephole[2 * n + i] * cell[i];
      }
      activate(kernels, f[0], a, n);
      activate(kernels, f[0], forget, n);
    } else {
      activate(kernels, f[0], a, 3 * n);
    }
    activate(kernels, f[1], update, n);
    for (std::int64_t i = 0; i < n; ++i) {
      const T kept = input_forget_ ? 1 - a[i] : forget[i];
      cell[i] = kept * cell[i] + a[i] * update[i];
      update[i] = cell[i];
    }
    if (peephole) {
      for (std::int64_t i = 0; i < n; ++i) output[i] += peephole[n + i] * cell[i];
      activate(kernels, f[0], output, n);
    }
    activate(kernels, f[2], update, n);
    for (std::int64_t i = 0; i < n; ++i) state[i] = output[i] * update[i];
  }

  std::vector<bool> reverse_;  // one for each direction
  std::vector<CellFunction> functions_;
  std::int64_t hidden_size_;
  double clip_;
  bool batch_first_;
  bool reset_first_;
  bool input_forget_;
  std::vector<Weights<float>> packed_f32_;
  std::vector<Weights<double>> packed_f64_;
};

constexpr OpEntry kOps[] = {
    {"RNN", make_op<Recurrent<Cell::kRnn>>},
    {"GRU", make_op<Recurrent<Cell::kGru>>},
    {"LSTM", make_op<Recurrent<Cell::kLstm>>},
};

}  // namespace

std::span<const OpEntry> recurrent_ops() { return kOps; }

}  // namespace pyrec
