#include <cstring>
#include <string>
#include <vector>

#include "core/sharing.h"
#include "plan/op_list.h"
#include "plan/ops/dense.h"
#include "plan/ops/dense_layer.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

// A request's matrix that stands for dot products with its vectors and the layer that reads them.
// Each block of D rows belongs to one vector of the other side: it is the product of the request's
// vectors, turned, with the weights of the dot products of that vector.
class FoldDots {
 public:
  explicit FoldDots(const OpSpec& spec) : blocks_(block_count(spec.attributes)) {
    const Tensor* weights = constant_input(spec, 1);
    const Tensor* left = constant_input(spec, 2);
    const Tensor* right = constant_input(spec, 3);
    if (!weights || !left || !right || weights->dtype != DType::kFloat32 || weights->rank() != 2) {
      throw OpError(ErrorKind::kUnsupported, std::string(kName) + ": operands that vary");
    }
    const std::vector<std::int64_t> from = read_integers(*left), to = read_integers(*right);
    if (from.size() != to.size() || from.size() != unsigned_size(weights->shape[0])) {
      throw OpError(ErrorKind::kModel, std::string(kName) + ": expected a row for each pair");
    }
    columns_ = weights->shape[1];
    const auto count = static_cast<std::int64_t>(blocks_.size());
    std::vector<std::vector<float>> rows(blocks_.size());
    for (std::size_t pair = 0; pair < from.size(); ++pair) {
      if (to[pair] < -count || to[pair] >= count) refuse_vector();
      const std::size_t place = unsigned_size(to[pair] < 0 ? to[pair] + count : to[pair]);
      blocks_[place].left.push_back(from[pair]);
      const float* row =
          weights->as<float>() + static_cast<std::int64_t>(pair) * weights->strides[0];
      for (std::int64_t j = 0; j < columns_; ++j) {
        rows[place].push_back(row[j * weights->strides[1]]);
      }
    }
    const std::size_t n = unsigned_size(columns_);
    for (std::size_t place = 0; place < blocks_.size(); ++place) {
      Block& block = blocks_[place];
      const std::size_t k = block.left.size();
      block.weights = AlignedArray<float>(spec.kernels.packed_size_f32(k, n));
      spec.kernels.pack_f32(rows[place].data(), k, n, n, 1, block.weights.data());
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& a = required_f32(in, 0, kName);
    if (a.rank() != 3) {
      throw OpError(
          ErrorKind::kShape,
          std::string(kName) + ": expected vectors [N, F, D], got shape " + describe(a.shape));
    }
    const std::int64_t width = a.shape[2];
    const std::int64_t folded =
        checked_elements({static_cast<std::int64_t>(blocks_.size()), width});
    const Tensor base = constant_rows(context, in, 4), below = constant_rows(context, in, 5);
    if (base.data && base.shape[0] != folded) refuse_rows(base);
    const std::int64_t rows = folded + (below.data ? below.shape[0] : 0);
    out[0].tensor = allocate(context, DType::kFloat32, {a.shape[0], rows, columns_});
    if (out[0].tensor.elements() == 0) return;
    for (std::int64_t i = 0; i < a.shape[0]; ++i) {
      float* matrix = out[0].tensor.as<float>() + i * rows * columns_;
      fold(context, view(a, {a.shape[1], width}, {a.strides[1], a.strides[2]}, i * a.strides[0]),
           base.as<float>(), matrix);
      if (rows > folded) {
        std::memcpy(matrix + folded * columns_, below.as<float>(),
                    unsigned_size(below.elements()) * sizeof(float));
      }
    }
  }

 private:
  static constexpr const char* kName = "pyrec.FoldDots";

  // The dot products of one vector of the other side.
  struct Block {
    std::vector<std::int64_t> left;
    AlignedArray<float> weights;  // for gemm_f32
  };

  static std::size_t block_count(const Attributes& attributes) {
    const std::int64_t count = attributes.integer("fields", 0);
    if (count < 0 || count > kMostFields) {
      throw OpError(ErrorKind::kModel, std::string(kName) + ": fields out of range");
    }
    return unsigned_size(count);
  }

  [[noreturn]] static void refuse_vector() {
    throw OpError(ErrorKind::kModel, std::string(kName) + ": a pair of vectors that do not exist");
  }

  [[noreturn]] static void refuse_rows(const Tensor& rows) {
    throw OpError(ErrorKind::kShape, std::string(kName) + ": rows of shape " +
                                         describe(rows.shape) + " that do not fit");
  }

  // Optional rows of the result's width; no data where they are absent.
  Tensor constant_rows(Context& context, std::span<const Value* const> in,
                       std::size_t index) const {
    if (!optional(in, index)) return {};
    const Tensor rows = contiguous(context, required_f32(in, index, kName));
    if (rows.rank() != 2 || rows.shape[1] != columns_) refuse_rows(rows);
    return rows;
  }

  // The first rows of a matrix, from vectors [F, D].
  void fold(Context& context, const Tensor& vectors, const float* base, float* matrix) const {
    const std::size_t width = unsigned_size(vectors.shape[1]), n = unsigned_size(columns_);
    std::vector<BufferRef> turned(blocks_.size());
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      const bool again = i > 0 && blocks_[i].left == blocks_[i - 1].left;
      turned[i] = again ? turned[i - 1] : turn(context, vectors, blocks_[i].left);
    }
    const auto multiply = [&](std::size_t i, std::size_t) {
      const std::size_t k = blocks_[i].left.size(), first = i * width * n;
      context.kernels.gemm_f32(reinterpret_cast<const float*>(turned[i].get()->data()), k,
                               blocks_[i].weights.data(), base ? base + first : nullptr, n,
                               Activation::kNone, matrix + first, n, width, n, k, nullptr);
    };
    ThreadPool* const pool = Sharing::current();
    if (pool && blocks_.size() * width * n >= kShared) {
      pool->run(blocks_.size(), multiply);
    } else {
      for (std::size_t i = 0; i < blocks_.size(); ++i) multiply(i, 0);
    }
  }

  // Some of the vectors as columns.
  static BufferRef turn(Context& context, const Tensor& vectors,
                        const std::vector<std::int64_t>& chosen) {
    const std::int64_t count = vectors.shape[0], width = vectors.shape[1];
    BufferRef buffer = context.arena.allocate(chosen.size() * unsigned_size(width) * sizeof(float));
    float* turned = reinterpret_cast<float*>(buffer.get()->data());
    for (std::size_t i = 0; i < chosen.size(); ++i) {
      if (chosen[i] < -count || chosen[i] >= count) refuse_vector();
      const std::int64_t place = chosen[i] < 0 ? chosen[i] + count : chosen[i];
      const float* vector = vectors.as<float>() + place * vectors.strides[0];
      for (std::int64_t d = 0; d < width; ++d) {
        turned[unsigned_size(d) * chosen.size() + i] = vector[d * vectors.strides[1]];
      }
    }
    return buffer;
  }

  static constexpr std::int64_t kMostFields = std::int64_t{1} << 20;
  // Numbers of a result that take longer than to hand work over.
  static constexpr std::size_t kShared = std::size_t{1} << 14;

  std::vector<Block> blocks_;
  std::int64_t columns_ = 0;
};

// Embedding tables times their rows of a request's matrix: what each row of a table adds to a sum.
class FieldTables {
 public:
  explicit FieldTables(const OpSpec& spec) : firsts_(spec.attributes.integers("firsts")) {
    if (firsts_.size() != spec.outputs || firsts_.empty()) {
      throw OpError(ErrorKind::kModel, std::string(kName) + ": expected a place for each table");
    }
    for (std::size_t i = 0; i < firsts_.size(); ++i) {
      const Tensor* table = constant_input(spec, i + 1);
      if (!table || table->dtype != DType::kFloat32 || table->rank() != 2) {
        throw OpError(ErrorKind::kUnsupported, std::string(kName) + ": tables that vary");
      }
      Table& own = tables_.emplace_back();
      own.rows = unsigned_size(table->shape[0]);
      own.width = unsigned_size(table->shape[1]);
      own.numbers = AlignedArray<float>(own.rows * own.width);
      float* to = own.numbers.data();
      for (std::int64_t row = 0; row < table->shape[0]; ++row) {
        const float* from = table->as<float>() + row * table->strides[0];
        for (std::int64_t d = 0; d < table->shape[1]; ++d) *to++ = from[d * table->strides[1]];
      }
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor matrices = contiguous(context, required_f32(in, 0, kName));
    if (matrices.rank() != 3) {
      throw OpError(ErrorKind::kShape, std::string(kName) +
                                           ": expected matrices [N, K, H], got shape " +
                                           describe(matrices.shape));
    }
    const std::int64_t count = matrices.shape[0], columns = matrices.shape[2];
    for (std::size_t i = 0; i < tables_.size(); ++i) {
      const auto width = static_cast<std::int64_t>(tables_[i].width);
      if (firsts_[i] < 0 || firsts_[i] > matrices.shape[1] - width) {
        throw OpError(
            ErrorKind::kShape,
            std::string(kName) + ": a table beyond matrices of shape " + describe(matrices.shape));
      }
      out[i].tensor = allocate(context, DType::kFloat32,
                               {count, static_cast<std::int64_t>(tables_[i].rows), columns});
    }
    if (columns == 0) return;
    for (std::int64_t row = 0; row < count; ++row) multiply(context, matrices, row, out);
  }

 private:
  static constexpr const char* kName = "pyrec.FieldTables";
  static constexpr std::size_t kRowsOfPart = 64;  // that one thread takes at once

  struct Table {
    std::size_t rows, width;
    AlignedArray<float> numbers;
  };
  // Some rows of a table, and where their products go.
  struct Part {
    const Table* table;
    const float* packed;
    float* to;
    std::size_t begin, count;
  };

  void multiply(Context& context, const Tensor& matrices, std::int64_t row,
                std::span<Value> out) const {
    const std::int64_t columns = matrices.shape[2];
    const std::size_t n = unsigned_size(columns);
    const float* matrix = matrices.as<float>() + row * matrices.shape[1] * columns;
    std::vector<BufferRef> packed;
    std::vector<Part> parts;
    for (std::size_t i = 0; i < tables_.size(); ++i) {
      const Table& table = tables_[i];
      packed.push_back(pack(context, matrix + firsts_[i] * columns,
                            static_cast<std::int64_t>(table.width), columns, columns, 1));
      const auto* weights = reinterpret_cast<const float*>(packed.back().get()->data());
      float* to = out[i].tensor.as<float>() + unsigned_size(row) * table.rows * n;
      in_parts(table.rows, kRowsOfPart, [&](std::size_t begin, std::size_t size) {
        parts.push_back({&table, weights, to, begin, size});
      });
    }
    const auto run_part = [&](std::size_t place, std::size_t) {
      const auto& [table, weights, to, begin, size] = parts[place];
      context.kernels.gemm_f32(table->numbers.data() + begin * table->width, table->width, weights,
                               nullptr, 0, Activation::kNone, to + begin * n, n, size, n,
                               table->width, nullptr);
    };
    ThreadPool* const pool = Sharing::current();
    if (pool && parts.size() > 1) {
      pool->run(parts.size(), run_part);
    } else {
      for (std::size_t place = 0; place < parts.size(); ++place) run_part(place, 0);
    }
  }

  std::vector<std::int64_t> firsts_;
  std::vector<Table> tables_;
};

constexpr OpEntry kOps[] = {
    {"pyrec.FoldDots", make_op<FoldDots>},
    {"pyrec.FieldTables", make_op<FieldTables>},
};

}  // namespace

std::span<const OpEntry> fold_dots_ops() { return kOps; }

}  // namespace pyrec
