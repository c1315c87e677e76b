#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/dense.h"
#include "plan/ops/dense_layer.h"
#include "plan/ops/narrow_rows.h"
#include "plan/ops/table_part.h"
#include "plan/ops/take.h"
#include "plan/program.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

// One part as the node describes it.
struct Part : TablePart {
  std::int64_t column;     // of a matrix of ids; -1: a vector
  LookupPart found{};      // in a constant table, but for the row numbers
  std::int64_t size = -1;  // rows of the constant table; -1: the table comes with the call
};

// Works out what is known of a part in a constant table. One that does not fit is left to the call,
// which can say whose it is.
void prepare(Part& part, const Tensor& table) {
  try {
    require_table(part, table);
    if (!has_plain_rows(table)) return;
    part.found = part_of_table(part, table);
    part.size = table.shape[0];
  } catch (const OpError&) {
  }
}

// The parts of a node whose first source is input `first`.
std::vector<Part> parts_of(const OpSpec& spec, std::size_t first) {
  const Attributes& attributes = spec.attributes;
  const auto columns = attributes.integers("columns"), offsets = attributes.integers("offsets");
  const auto widths = attributes.integers("widths");
  const auto codecs = attributes.texts("codecs");
  if (columns.empty() || offsets.size() != columns.size() || widths.size() != columns.size() ||
      codecs.size() != columns.size()) {
    throw OpError(ErrorKind::kModel, "expected a column, an offset, a width and a codec a part");
  }
  std::vector<Part> parts;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    require_sizes(offsets[i], widths[i]);
    parts.push_back({{offsets[i], widths[i], codec_of(codecs[i])}, columns[i]});
    const Tensor* table = constant_input(spec, first + 2 * i + 1);
    if (table) prepare(parts.back(), *table);
  }
  return parts;
}

// The tables, rows and widths of a call as the kernels take them.
class Lookups {
 public:
  Lookups(Context& context, const std::vector<Part>& parts, const std::vector<std::string>& labels,
          bool strict, std::span<const Value* const> in, std::size_t first)
      : context_(context), count_(parts.size()), strict_(strict) {
    if (in.size() != first + 2 * count_) {
      throw OpError(ErrorKind::kModel, "expected a source and a table a part");
    }
    const Tensor& source = required(in, first);
    if (source.rank() == 0) throw OpError(ErrorKind::kShape, "expected a source with rows");
    n_ = source.shape[0];
    scratch_ = context.arena.allocate(
        count_ * (sizeof(LookupPart) + unsigned_size(n_) * sizeof(std::int64_t)));
    lookups_ = reinterpret_cast<LookupPart*>(scratch_.get()->data());
    next_ = reinterpret_cast<std::int64_t*>(lookups_ + count_);
    std::size_t i = 0;
    try {
      for (; i < count_; ++i) {
        const Part& part = parts[i];
        const Tensor& given = required(in, first + 2 * i);
        LookupPart& found = lookups_[i];
        if (part.size >= 0) {
          found = part.found;
          found.rows = rows_of(part.column, given, part.size);
        } else if (const Tensor* table = optional(in, first + 2 * i + 1)) {
          found = looked_up(part, given, *table);
        } else {
          found = numbers(part, given);
        }
      }
    } catch (const OpError& error) {
      const bool named = in[first + 2 * i + 1] && i < labels.size() && !labels[i].empty();
      if (named) throw StepError(error, labels[i]);
      throw;
    }
  }

  std::size_t rows() const { return unsigned_size(n_); }
  const LookupPart* data() const { return lookups_; }
  std::size_t size() const { return count_; }

 private:
  void require_rows(const Tensor& source) const {
    if (source.rank() > 0 && source.shape[0] == n_) return;
    throw OpError(ErrorKind::kShape,
                  "expected " + std::to_string(n_) + " rows, got shape " + describe(source.shape));
  }

  // The source's own numbers.
  LookupPart numbers(const Part& part, const Tensor& source) {
    require_rows(source);
    if (source.dtype != DType::kFloat32) refuse_dtype("lookup", source.dtype);
    if (source.shape.product(1, source.rank()) != part.width) {
      throw OpError(ErrorKind::kShape, "expected " + std::to_string(part.width) +
                                           " numbers a row, got shape " + describe(source.shape));
    }
    const auto inner = merged_stride(source, 1, source.rank());
    const bool plain = source.strides[0] >= 0 && (part.width <= 1 || (inner && *inner == 1));
    const Tensor& rows = plain ? source : kept_.emplace_back(contiguous(context_, source));
    LookupPart found{};
    found.table = reinterpret_cast<const unsigned char*>(rows.data);
    found.stride = unsigned_size(rows.strides[0]) * sizeof(float);
    found.width = unsigned_size(part.width);
    found.codec = Codec::kF32;
    return found;
  }

  LookupPart looked_up(const Part& part, const Tensor& source, const Tensor& given) {
    if (given.rank() == 3) return looked_up_of_own(part, source, given);
    return looked_up_of_one(part, source, given);
  }

  // In a table for each row, [N, V, W]; most often they are one.
  LookupPart looked_up_of_own(const Part& part, const Tensor& source, const Tensor& tables) {
    require_rows(tables);
    const std::int64_t size = tables.shape[1], width = tables.shape[2];
    if (n_ <= 1 || tables.strides[0] == 0) {
      return looked_up_of_one(part, source,
                              view(tables, {size, width}, {tables.strides[1], tables.strides[2]}));
    }
    const Tensor& all =
        kept_.emplace_back(reshaped(context_, contiguous(context_, tables), {n_ * size, width}));
    require_table(part, all);
    LookupPart found = part_of_table(part, all);
    // Row numbers that no other part shares.
    source_ = nullptr;
    const std::int64_t* ids = rows_of(part.column, source, size);
    source_ = nullptr;
    std::int64_t* rows = next_ - n_;
    for (std::int64_t i = 0; i < n_; ++i) rows[i] = ids[i] + i * size;
    found.rows = rows;
    return found;
  }

  LookupPart looked_up_of_one(const Part& part, const Tensor& source, const Tensor& table) {
    require_table(part, table);
    const bool plain = has_plain_rows(table);
    const Tensor& rows = plain ? table : kept_.emplace_back(contiguous(context_, table));
    LookupPart found = part_of_table(part, rows);
    found.rows = rows_of(part.column, source, rows.shape[0]);
    if (table.dtype == DType::kUint8 && found.far) announce(source, rows, found.stride);
    return found;
  }

  // Tells the products of this tile which records the next one reads.
  void announce(const Tensor& ids, const Tensor& records, std::size_t stride) {
    if (context_.upcoming.stride != 0) return;
    for (const TileIds& known : context_.ids) {
      if (static_cast<const void*>(known.tile) != ids.data) continue;
      context_.upcoming = {reinterpret_cast<std::uintptr_t>(records.data), stride, known.next,
                           known.next_count};
    }
  }

  // The row numbers that the ids of a column stand for. Parts of one record often share them.
  const std::int64_t* rows_of(std::int64_t column, const Tensor& source, std::int64_t size) {
    const bool same = &source == source_;
    if (same && column == column_ && size == size_) return next_ - n_;
    if (!same) require_rows(source);
    std::int64_t offset = 0;
    if (column >= 0) {
      if (source.rank() != 2 || column >= source.shape[1]) refuse_column(column, source);
      offset = column * source.strides[1];
    } else if (source.elements() != n_) {
      throw OpError(ErrorKind::kShape,
                    "expected one id a row, got shape " + describe(source.shape));
    }
    if (!one_row_of(source, offset, size)) check_ids(source, offset, size, strict_, next_);
    source_ = &source;
    column_ = column;
    size_ = size;
    next_ += n_;
    return next_ - n_;
  }

  // A single int64 id, without a call; false for all else.
  bool one_row_of(const Tensor& source, std::int64_t offset, std::int64_t size) {
    if (n_ != 1 || source.dtype != DType::kInt64) return false;
    const std::int64_t id = source.as<std::int64_t>()[offset];
    *next_ = id < 0 && !strict_ ? id + size : id;
    return static_cast<std::uint64_t>(*next_) < static_cast<std::uint64_t>(size);
  }

  [[noreturn]] static void refuse_column(std::int64_t column, const Tensor& source) {
    throw OpError(ErrorKind::kShape, "expected a matrix with a column " + std::to_string(column) +
                                         ", got shape " + describe(source.shape));
  }

  Context& context_;
  std::size_t count_;
  bool strict_;
  std::int64_t n_ = 0;
  BufferRef scratch_;
  LookupPart* lookups_ = nullptr;
  std::int64_t* next_ = nullptr;
  std::vector<Tensor> kept_;        // what parts point to that had to be copied
  const Tensor* source_ = nullptr;  // of the last row numbers, their column and their table's rows
  std::int64_t column_ = -1;
  std::int64_t size_ = -1;
};

class Lookup {
 public:
  static constexpr int kStartsFrom = -1;

  explicit Lookup(const OpSpec& spec)
      : parts_(parts_of(spec, 0)),
        labels_(spec.attributes.texts("labels")),
        strict_(spec.attributes.integer("strict", 0) != 0) {
    for (const Part& part : parts_) width_ += part.width;
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Lookups lookups(context, parts_, labels_, strict_, in, 0);
    const auto n = static_cast<std::int64_t>(lookups.rows());
    const Tensor rows = made_where_offered(context, out[0], DType::kFloat32, {n, width_});
    out[0].tensor = rows;
    if (n == 0) return;
    context.kernels.lookup_f32(lookups.data(), lookups.size(), lookups.rows(), rows.as<float>(),
                               unsigned_size(rows.strides[0]));
  }

 private:
  std::vector<Part> parts_;
  std::vector<std::string> labels_;
  bool strict_;
  std::int64_t width_ = 0;
};

class LookupSum {
 public:
  static constexpr int kStartsFrom = 0;

  explicit LookupSum(const OpSpec& spec)
      : parts_(parts_of(spec, 1)),
        labels_(spec.attributes.texts("labels")),
        strict_(spec.attributes.integer("strict", 0) != 0),
        activation_(activation_of("pyrec.LookupSum", spec.attributes.text("activation", ""))),
        form_(narrow_rows(spec.kernels, spec.attributes.text("rows", ""))),
        ordered_(spec.attributes.integer("ordered", 0) != 0) {
    if (form_ && activation_ > Activation::kRelu) {
      throw OpError(ErrorKind::kUnsupported, "narrow rows with another activation than ReLU");
    }
    for (const Part& part : parts_) {
      if (part.width != parts_[0].width) {
        throw OpError(ErrorKind::kModel, "expected parts of one width");
      }
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Lookups lookups(context, parts_, labels_, strict_, in, 1);
    const Shape shape{static_cast<std::int64_t>(lookups.rows()), parts_[0].width};
    const ShapedBias bias(context, "pyrec.LookupSum", optional(in, 0), shape);
    if (form_) {
      out[0].tensor = narrow_sums(context, lookups, bias, unsigned_size(shape[1]));
      return;
    }
    const Tensor sums = made_where_offered(context, out[0], DType::kFloat32, shape);
    out[0].tensor = sums;
    if (shape.elements() == 0) return;
    context.kernels.lookup_sum_f32(bias.rows, bias.step, lookups.data(), lookups.size(),
                                   activation_, lookups.rows(), unsigned_size(shape[1]),
                                   sums.as<float>(), unsigned_size(sums.strides[0]));
  }

 private:
  Tensor narrow_sums(Context& context, const Lookups& lookups, const MatrixBias& bias,
                     std::size_t width) const {
    const std::size_t size = form_->size(width);
    Tensor rows =
        allocate(context, DType::kUint8,
                 {static_cast<std::int64_t>(lookups.rows()), static_cast<std::int64_t>(size)});
    const RowOrder order(context, ordered_ ? bias.rows : nullptr, width);
    const BufferRef scratch = context.arena.allocate(kSummedRows * width * sizeof(float));
    form_->sum(context.kernels, bias.rows, bias.step, lookups.data(), lookups.size(),
               activation_ == Activation::kRelu, lookups.rows(), width, order.data(),
               reinterpret_cast<float*>(scratch.get()->data()), rows.data);
    return rows;
  }

  std::vector<Part> parts_;
  std::vector<std::string> labels_;
  bool strict_;
  Activation activation_;
  const NarrowRows* form_;  // null: float32 numbers
  bool ordered_;            // handed over in the order of the bias
};

class PairDots {
 public:
  explicit PairDots(const OpSpec& spec) {
    const Tensor* left = constant_input(spec, 2);
    const Tensor* right = constant_input(spec, 3);
    if (!left || !right) throw OpError(ErrorKind::kUnsupported, "pairs that are not constant");
    left_ = read_integers(*left);
    right_ = read_integers(*right);
    if (left_.size() != right_.size()) {
      throw OpError(ErrorKind::kModel, "expected as many left as right vectors");
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor a = vectors(context, required(in, 0));
    const Tensor b = vectors(context, required(in, 1));
    if (a.shape[0] != b.shape[0] || a.shape[2] != b.shape[2]) {
      throw OpError(ErrorKind::kShape, "pairs of vectors of shapes " + describe(a.shape) + " and " +
                                           describe(b.shape));
    }
    const BufferRef scratch = context.arena.allocate(2 * left_.size() * sizeof(std::int64_t));
    auto* left = reinterpret_cast<std::int64_t*>(scratch.get()->data());
    std::int64_t* right = left + left_.size();
    set_offsets(left_, a, left);
    set_offsets(right_, b, right);
    out[0].tensor =
        allocate(context, DType::kFloat32, {a.shape[0], static_cast<std::int64_t>(left_.size())});
    if (out[0].tensor.elements() == 0) return;
    context.kernels.pair_dots_f32(a.as<float>(), unsigned_size(a.strides[0]), b.as<float>(),
                                  unsigned_size(b.strides[0]), left, right, left_.size(),
                                  unsigned_size(a.shape[2]), unsigned_size(a.shape[0]),
                                  out[0].tensor.as<float>());
  }

 private:
  static Tensor vectors(Context& context, const Tensor& tensor) {
    if (tensor.dtype != DType::kFloat32) refuse_dtype("pyrec.PairDots", tensor.dtype);
    if (tensor.rank() != 3) {
      throw OpError(ErrorKind::kShape,
                    "expected vectors [N, P, D], got shape " + describe(tensor.shape));
    }
    const bool plain = tensor.strides[0] >= 0 && (tensor.shape[2] <= 1 || tensor.strides[2] == 1);
    return plain ? tensor : contiguous(context, tensor);
  }

  static void set_offsets(const std::vector<std::int64_t>& numbers, const Tensor& tensor,
                          std::int64_t* offsets) {
    const std::int64_t count = tensor.shape[1];
    for (std::int64_t number : numbers) {
      if (number < -count || number >= count) {
        throw OpError(ErrorKind::kModel, "a pair of vectors that do not exist");
      }
      *offsets++ = (number < 0 ? number + count : number) * tensor.strides[1];
    }
  }

  std::vector<std::int64_t> left_, right_;
};

constexpr OpEntry kOps[] = {
    {"pyrec.Lookup", make_op<Lookup>},
    {"pyrec.LookupSum", make_op<LookupSum>},
    {"pyrec.PairDots", make_op<PairDots>},
};

}  // namespace

std::span<const OpEntry> lookup_ops() { return kOps; }

}  // namespace pyrec
