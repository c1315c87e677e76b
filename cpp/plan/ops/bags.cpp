#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "plan/op_list.h"
#include "plan/ops/dense.h"
#include "plan/ops/dense_layer.h"
#include "plan/ops/table_part.h"
#include "plan/ops/take.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

[[noreturn]] void refuse_bag(std::int64_t start, std::int64_t end, std::int64_t ids,
                             std::int64_t row) {
  std::string message = "expected a bag that ends within " + std::to_string(ids) +
                        " ids, got one that ends after them";
  if (start < 0) {
    message = "expected a bag that starts at 0 or later, got one that starts before";
  } else if (end < start) {
    message = "expected a bag whose end is not before its start, got one whose end is";
  }
  throw OpError(ErrorKind::kShape, message, row);
}

// Bounds [n, 2], contiguous, of bags that have to lie within so many ids.
void check_bounds(const std::int64_t* bounds, std::int64_t n, std::int64_t ids) {
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t start = bounds[2 * i], end = bounds[2 * i + 1];
    wrong |= static_cast<std::int64_t>(start < 0) | static_cast<std::int64_t>(end < start) |
             static_cast<std::int64_t>(end > ids);
  }
  if (wrong == 0) return;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t start = bounds[2 * i], end = bounds[2 * i + 1];
    if (start < 0 || end < start || end > ids) refuse_bag(start, end, ids, i);
  }
}

// The last of n bags has to end with the ids.
void require_end(std::int64_t end, std::int64_t ids, std::int64_t n) {
  if (end == ids) return;
  throw OpError(ErrorKind::kShape,
                "expected a last bag that ends after " + std::to_string(ids) +
                    " ids, got one that ends before",
                n - 1);
}

// The vector of offsets or lengths, int64 and contiguous.
Tensor whole_numbers(Context& context, const Tensor& given) {
  if (given.rank() != 1) {
    throw OpError(ErrorKind::kShape, "expected a vector, got shape " + describe(given.shape));
  }
  if (given.dtype == DType::kInt64) return contiguous(context, given);
  if (given.dtype == DType::kInt32) return cast(context, given, DType::kInt64);
  throw OpError(ErrorKind::kDType,
                std::string("expected whole numbers, got ") + dtype_name(given.dtype));
}

std::int64_t count_ids(const Tensor& ids) {
  if (ids.rank() == 1) return ids.shape[0];
  throw OpError(ErrorKind::kShape, "expected a vector of ids, got shape " + describe(ids.shape));
}

// Bounds read no id, so what was made of each stands for them too.
std::int64_t count_of_each(const Tensor& made) {
  if (made.rank() > 0) return made.shape[0];
  throw OpError(ErrorKind::kShape, "expected ids, got a number");
}

class BagBounds {
 public:
  explicit BagBounds(const OpSpec& spec)
      : last_(spec.attributes.integer("last", 0) != 0),
        full_(spec.attributes.integer("full", 0) != 0) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor offsets = whole_numbers(context, required(in, 0));
    const std::int64_t ids = count_of_each(required(in, 1));
    const std::int64_t given = offsets.shape[0];
    if (last_ && given == 0) {
      throw OpError(ErrorKind::kShape, "expected at least one offset, got none");
    }
    const std::int64_t n = last_ ? given - 1 : given;
    Tensor bounds = allocate(context, DType::kInt64, {n, 2});
    const std::int64_t* from = offsets.as<std::int64_t>();
    std::int64_t* to = bounds.as<std::int64_t>();
    for (std::int64_t i = 0; i < n; ++i) {
      to[2 * i] = from[i];
      to[2 * i + 1] = i + 1 < given ? from[i + 1] : ids;
    }
    check_bounds(to, n, ids);
    if (full_ && n > 0) require_end(to[2 * n - 1], ids, n);
    out[0].tensor = std::move(bounds);
  }

 private:
  bool last_;
  bool full_;
};

class BagBoundsOfLengths {
 public:
  explicit BagBoundsOfLengths(const OpSpec& spec)
      : full_(spec.attributes.integer("full", 0) != 0) {}

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor lengths = whole_numbers(context, required(in, 0));
    const std::int64_t ids = count_of_each(required(in, 1));
    const std::int64_t n = lengths.shape[0];
    Tensor bounds = allocate(context, DType::kInt64, {n, 2});
    const std::int64_t* from = lengths.as<std::int64_t>();
    std::int64_t* to = bounds.as<std::int64_t>();
    std::int64_t place = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      // Neither can the sum overflow, nor a wrong length look right.
      const std::int64_t end = place + std::clamp<std::int64_t>(from[i], -1, ids + 1);
      if (end < place || end > ids) refuse_bag(place, end, ids, i);
      to[2 * i] = std::exchange(place, end);
      to[2 * i + 1] = end;
    }
    if (full_ && n > 0) require_end(place, ids, n);
    out[0].tensor = std::move(bounds);
  }

 private:
  bool full_;
};

BagMode mode_of(const Attributes& attributes) {
  const std::string mode = attributes.text("mode", "sum");
  if (mode == "sum") return BagMode::kSum;
  if (mode == "max") return BagMode::kMax;
  if (mode != "mean") throw OpError(ErrorKind::kModel, "mode '" + mode + "' of a bag");
  return attributes.integer("weighted_mean", 0) != 0 ? BagMode::kWeightedMean : BagMode::kMean;
}

// The elements [begin, end) of a vector, contiguous and of a type.
Tensor elements_of(Context& context, const Tensor& vector, std::int64_t begin, std::int64_t end,
                   DType dtype) {
  const Tensor chosen =
      view(vector, {end - begin}, vector.strides, end > begin ? begin * vector.strides[0] : 0);
  return chosen.dtype == dtype ? contiguous(context, chosen) : cast(context, chosen, dtype);
}

class EmbeddingBag {
 public:
  explicit EmbeddingBag(const OpSpec& spec)
      : part_{spec.attributes.integer("offset", 0), spec.attributes.integer("width", 0),
              codec_of(spec.attributes.text("codec", "f32"))},
        mode_(mode_of(spec.attributes)),
        padded_(spec.attributes.has("padding")),
        padding_(spec.attributes.integer("padding", 0)),
        wraps_(spec.attributes.integer("padding_wraps", 0) != 0),
        strict_(spec.attributes.integer("strict", 0) != 0) {
    require_sizes(part_.offset, part_.width);
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& ids = required(in, 1);
    const Tensor* weights = optional(in, 3);
    const std::int64_t given = count_ids(ids);
    require_types(ids, weights);
    const Tensor bounds = bounds_of(context, required(in, 2), given);
    const std::int64_t n = bounds.shape[0];
    const Tensor& given_table = required(in, 0);
    require_matrix(given_table);
    const Tensor table = with_plain_rows(context, given_table);
    Bags bags{};
    bags.part = part_of(table);
    bags.size = unsigned_size(table.shape[0]);
    bags.bounds = bounds.as<std::int64_t>();
    bags.count = unsigned_size(n);
    bags.mode = weights || mode_ != BagMode::kWeightedMean ? mode_ : BagMode::kMean;
    bags.padded = padded_;
    bags.padding[0] = padding_;
    // Strict ids do not count from the end.
    bags.padding[1] = wraps_ && !strict_ ? padding_ - table.shape[0] : padding_;
    const Shape shape{n, static_cast<std::int64_t>(bags.part.width)};
    out[0].tensor = allocate(context, DType::kFloat32, shape);
    const auto [first, end] = span_of(bags.bounds, n);
    const Tensor near_ids = elements_of(context, ids, first, end, DType::kInt64);
    const Tensor near_weights =
        weights ? elements_of(context, *weights, first, end, DType::kFloat32) : Tensor{};
    bags.first = first;
    bags.ids = near_ids.as<std::int64_t>();
    bags.weights = weights ? near_weights.as<float>() : nullptr;
    bags.given = end - first;
    bags.wrap = strict_ ? 0 : bags.size;
    const std::int64_t wrong =
        context.kernels.embedding_bag_f32(bags, out[0].tensor.as<float>(), unsigned_size(shape[1]));
    if (wrong < 0) return;
    // Its place is no row of a tile.
    throw OpError(ErrorKind::kIdRange,
                  outside_table(table.shape[0], strict_) + " (row " + std::to_string(wrong) + ")");
  }

 private:
  void require_types(const Tensor& ids, const Tensor* weights) const {
    if (ids.dtype != DType::kInt64 && ids.dtype != DType::kInt32) {
      throw OpError(ErrorKind::kDType, std::string("ids of type ") + dtype_name(ids.dtype));
    }
    if (!weights) return;
    if (mode_ == BagMode::kMax) throw OpError(ErrorKind::kModel, "weights of a maximum");
    if (weights->shape == ids.shape && weights->dtype == DType::kFloat32) return;
    throw OpError(ErrorKind::kShape, "expected " + std::to_string(ids.shape[0]) +
                                         " float32 weights, one for each id, got " +
                                         dtype_name(weights->dtype) + " of shape " +
                                         describe(weights->shape));
  }

  static Tensor bounds_of(Context& context, const Tensor& given, std::int64_t ids) {
    if (given.rank() != 2 || given.shape[1] != 2 || given.dtype != DType::kInt64) {
      throw OpError(ErrorKind::kShape,
                    "expected int64 bounds [B, 2], got shape " + describe(given.shape));
    }
    Tensor bounds = contiguous(context, given);
    check_bounds(bounds.as<std::int64_t>(), bounds.shape[0], ids);
    return bounds;
  }

  // The first place of all bags, and the end of the last.
  static std::pair<std::int64_t, std::int64_t> span_of(const std::int64_t* bounds, std::int64_t n) {
    std::int64_t first = n == 0 ? 0 : bounds[0], end = first;
    for (std::int64_t i = 0; i < n; ++i) {
      first = std::min(first, bounds[2 * i]);
      end = std::max(end, bounds[2 * i + 1]);
    }
    return {first, end};
  }

  static void require_matrix(const Tensor& table) {
    if (table.rank() == 2) return;
    throw OpError(ErrorKind::kShape, "expected a table, got shape " + describe(table.shape));
  }

  LookupPart part_of(const Tensor& table) const {
    if (table.dtype == DType::kFloat16) {
      LookupPart found{};
      found.table = reinterpret_cast<const unsigned char*>(table.data);
      found.stride = unsigned_size(table.strides[0]) * sizeof(Half);
      found.width = unsigned_size(table.shape[1]);
      found.codec = Codec::kF16;
      return found;
    }
    const bool records = table.dtype == DType::kUint8;
    const TablePart part = records ? part_ : TablePart{0, table.shape[1], Codec::kF32};
    require_table(part, table);
    return part_of_table(part, table);
  }

  TablePart part_;  // of records
  BagMode mode_;
  bool padded_;
  std::int64_t padding_;
  bool wraps_;  // the padding is a row, and ids that count from the end may mean it
  bool strict_;
};

}  // namespace

std::span<const OpEntry> bag_ops() {
  static constexpr OpEntry kEntries[] = {
      {"pyrec.BagBounds", make_op<BagBounds>},
      {"pyrec.BagBoundsOfLengths", make_op<BagBoundsOfLengths>},
      {"pyrec.EmbeddingBag", make_op<EmbeddingBag>},
  };
  return kEntries;
}

}  // namespace pyrec
