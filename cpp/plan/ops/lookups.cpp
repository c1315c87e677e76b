#include "plan/ops/lookups.h"

#include "plan/ops/dense.h"
#include "plan/ops/dense_layer.h"
#include "plan/ops/take.h"
#include "plan/program.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

// Works out what is known of a part in a constant table. One that does not fit is left to the call,
// which can say whose it is.
void prepare(NodePart& part, const Tensor& table) {
  try {
    require_table(part, table);
    if (!has_plain_rows(table)) return;
    part.found = part_of_table(part, table);
    part.size = table.shape[0];
  } catch (const OpError&) {
  }
}

[[noreturn]] void refuse_column(std::int64_t column, const Tensor& source) {
  throw OpError(ErrorKind::kShape, "expected a matrix with a column " + std::to_string(column) +
                                       ", got shape " + describe(source.shape));
}

}  // namespace

std::vector<NodePart> node_parts(const OpSpec& spec, std::size_t first) {
  const Attributes& attributes = spec.attributes;
  const auto columns = attributes.integers("columns"), offsets = attributes.integers("offsets");
  const auto widths = attributes.integers("widths");
  const auto codecs = attributes.texts("codecs");
  if (columns.empty() || offsets.size() != columns.size() || widths.size() != columns.size() ||
      codecs.size() != columns.size()) {
    throw OpError(ErrorKind::kModel, "expected a column, an offset, a width and a codec a part");
  }
  std::vector<NodePart> parts;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    require_sizes(offsets[i], widths[i]);
    parts.push_back({{offsets[i], widths[i], codec_of(codecs[i])}, columns[i]});
    const Tensor* table = constant_input(spec, first + 2 * i + 1);
    if (table) prepare(parts.back(), *table);
  }
  return parts;
}

Lookups::Lookups(Context& context, const std::vector<NodePart>& parts,
                 const std::vector<std::string>& labels, bool strict,
                 std::span<const Value* const> in, std::size_t first)
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
      const NodePart& part = parts[i];
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

void Lookups::require_rows(const Tensor& source) const {
  if (source.rank() > 0 && source.shape[0] == n_) return;
  throw OpError(ErrorKind::kShape,
                "expected " + std::to_string(n_) + " rows, got shape " + describe(source.shape));
}

// The source's own numbers.
LookupPart Lookups::numbers(const NodePart& part, const Tensor& source) {
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

LookupPart Lookups::looked_up(const NodePart& part, const Tensor& source, const Tensor& given) {
  if (given.rank() == 3) return looked_up_of_own(part, source, given);
  return looked_up_of_one(part, source, given);
}

// In a table for each row, [N, V, W]; most often they are one.
LookupPart Lookups::looked_up_of_own(const NodePart& part, const Tensor& source,
                                     const Tensor& tables) {
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

LookupPart Lookups::looked_up_of_one(const NodePart& part, const Tensor& source,
                                     const Tensor& table) {
  require_table(part, table);
  const bool plain = has_plain_rows(table);
  const Tensor& rows = plain ? table : kept_.emplace_back(contiguous(context_, table));
  LookupPart found = part_of_table(part, rows);
  found.rows = rows_of(part.column, source, rows.shape[0]);
  if (table.dtype == DType::kUint8 && found.far) announce(source, rows, found.stride);
  return found;
}

// Tells the products of this tile which records the next one reads.
void Lookups::announce(const Tensor& ids, const Tensor& records, std::size_t stride) {
  if (context_.upcoming.stride != 0) return;
  for (const TileIds& known : context_.ids) {
    if (static_cast<const void*>(known.tile) != ids.data) continue;
    context_.upcoming = {reinterpret_cast<std::uintptr_t>(records.data), stride, known.next,
                         known.next_count};
  }
}

// The row numbers that the ids of a column stand for. Parts of one record often share them.
const std::int64_t* Lookups::rows_of(std::int64_t column, const Tensor& source, std::int64_t size) {
  const bool same = &source == source_;
  if (same && column == column_ && size == size_) return next_ - n_;
  if (!same) require_rows(source);
  std::int64_t offset = 0;
  if (column >= 0) {
    if (source.rank() != 2 || column >= source.shape[1]) refuse_column(column, source);
    offset = column * source.strides[1];
  } else if (source.elements() != n_) {
    throw OpError(ErrorKind::kShape, "expected one id a row, got shape " + describe(source.shape));
  }
  if (!one_row_of(source, offset, size)) check_ids(source, offset, size, strict_, next_);
  source_ = &source;
  column_ = column;
  size_ = size;
  next_ += n_;
  return next_ - n_;
}

// A single int64 id, without a call; false for all else.
bool Lookups::one_row_of(const Tensor& source, std::int64_t offset, std::int64_t size) {
  if (n_ != 1 || source.dtype != DType::kInt64) return false;
  const std::int64_t id = source.as<std::int64_t>()[offset];
  *next_ = id < 0 && !strict_ ? id + size : id;
  return static_cast<std::uint64_t>(*next_) < static_cast<std::uint64_t>(size);
}

}  // namespace pyrec
