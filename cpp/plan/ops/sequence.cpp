#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "plan/op_list.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

using Inputs = std::span<const Value* const>;

const std::vector<Tensor>& sequence_at(Inputs in, std::size_t index) {
  if (index >= in.size() || !in[index] || !in[index]->is_sequence) {
    throw OpError(ErrorKind::kModel,
                  "input " + std::to_string(index) + ": expected a sequence of tensors");
  }
  return in[index]->sequence;
}

// A position in [0, last], where negative ones count from the end of a sequence of n tensors.
std::size_t position(const Tensor& tensor, std::size_t n, std::int64_t last) {
  const auto count = static_cast<std::int64_t>(n);
  const std::int64_t index = read_integer(tensor);
  if (index < -count || index > last) {
    throw OpError(ErrorKind::kShape,
                  "position outside a sequence of " + std::to_string(n) + " tensors");
  }
  return static_cast<std::size_t>(index < 0 ? index + count : index);
}

void set_sequence(Value& value, std::vector<Tensor> items) {
  value.sequence = std::move(items);
  value.is_sequence = true;
}

template <class T>
Tensor scalar(Context& context, T item) {
  Tensor tensor = allocate(context, DTypeOf<T>::value, Shape());
  *tensor.as<T>() = item;
  return tensor;
}

struct SequenceEmpty {
  explicit SequenceEmpty(const OpSpec&) {}
  void run(Context&, Inputs, std::span<Value> out) const { set_sequence(out[0], {}); }
};

struct SequenceConstruct {
  explicit SequenceConstruct(const OpSpec&) {}
  void run(Context&, Inputs in, std::span<Value> out) const {
    std::vector<Tensor> items;
    items.reserve(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) items.push_back(required(in, i));
    set_sequence(out[0], std::move(items));
  }
};

struct SequenceInsert {
  explicit SequenceInsert(const OpSpec&) {}
  void run(Context&, Inputs in, std::span<Value> out) const {
    const std::vector<Tensor>& from = sequence_at(in, 0);
    const Tensor* where = optional(in, 2);
    const std::size_t n = from.size();
    const std::size_t at = where ? position(*where, n, static_cast<std::int64_t>(n)) : n;
    std::vector<Tensor> items;
    items.reserve(n + 1);
    items.insert(items.end(), from.begin(), from.begin() + static_cast<std::ptrdiff_t>(at));
    items.push_back(required(in, 1));
    items.insert(items.end(), from.begin() + static_cast<std::ptrdiff_t>(at), from.end());
    set_sequence(out[0], std::move(items));
  }
};

struct SequenceErase {
  explicit SequenceErase(const OpSpec&) {}
  void run(Context&, Inputs in, std::span<Value> out) const {
    std::vector<Tensor> items = sequence_at(in, 0);
    if (items.empty()) throw OpError(ErrorKind::kShape, "the sequence is empty");
    const Tensor* where = optional(in, 1);
    const std::size_t n = items.size();
    const std::size_t at = where ? position(*where, n, static_cast<std::int64_t>(n) - 1) : n - 1;
    items.erase(items.begin() + static_cast<std::ptrdiff_t>(at));
    set_sequence(out[0], std::move(items));
  }
};

struct SequenceAt {
  explicit SequenceAt(const OpSpec&) {}
  void run(Context&, Inputs in, std::span<Value> out) const {
    const std::vector<Tensor>& items = sequence_at(in, 0);
    out[0].tensor =
        items[position(required(in, 1), items.size(), static_cast<std::int64_t>(items.size()) - 1)];
  }
};

struct SequenceLength {
  explicit SequenceLength(const OpSpec&) {}
  void run(Context& context, Inputs in, std::span<Value> out) const {
    out[0].tensor = scalar(context, static_cast<std::int64_t>(sequence_at(in, 0).size()));
  }
};

struct ConcatFromSequence {
  explicit ConcatFromSequence(const OpSpec& spec)
      : axis(spec.attributes.integer("axis", 0)),
        new_axis(spec.attributes.integer("new_axis", 0) != 0) {}

  void run(Context& context, Inputs in, std::span<Value> out) const {
    const std::vector<Tensor>& items = sequence_at(in, 0);
    if (items.empty()) throw OpError(ErrorKind::kShape, "the sequence is empty");
    const Tensor& first = items.front();
    const int at = normalize_axis(axis, first.rank() + (new_axis ? 1 : 0));
    Shape shape;
    for (int a = 0; a < at; ++a) shape.push_back(first.shape[a]);
    if (new_axis) {
      shape.push_back(static_cast<std::int64_t>(items.size()));
    } else {
      shape.push_back(0);
      for (const Tensor& item : items) {
        if (item.rank() == first.rank()) shape[at] += item.shape[at];
      }
    }
    for (int a = at + (new_axis ? 0 : 1); a < first.rank(); ++a) shape.push_back(first.shape[a]);
    Tensor result = allocate(context, first.dtype, shape);
    std::int64_t offset = 0;
    for (const Tensor& item : items) {
      Shape part = first.shape;
      if (!new_axis && item.rank() == first.rank()) part[at] = item.shape[at];
      if (!(item.shape == part) || item.dtype != first.dtype) {
        throw OpError(ErrorKind::kShape, "tensors of shapes " + describe(first.shape) + " and " +
                                             describe(item.shape) + " in one concatenation");
      }
      Shape strides;
      for (int a = 0; a < result.rank(); ++a) {
        if (!new_axis || a != at) strides.push_back(result.strides[a]);
      }
      copy_elements(item, view(result, part, strides, offset * result.strides[at]));
      offset += new_axis ? 1 : part[at];
    }
    out[0].tensor = std::move(result);
  }

  std::int64_t axis;
  bool new_axis;
};

struct SplitToSequence {
  explicit SplitToSequence(const OpSpec& spec)
      : axis(spec.attributes.integer("axis", 0)),
        keep_axis(spec.attributes.integer("keepdims", 1) != 0) {}

  void run(Context&, Inputs in, std::span<Value> out) const {
    const Tensor& data = required(in, 0);
    const Tensor* lengths = optional(in, 1);
    const int at = normalize_axis(axis, data.rank());
    const std::int64_t size = data.shape[at];
    std::vector<std::int64_t> parts;
    if (lengths && lengths->rank() == 1) {
      parts = read_integers(*lengths);
      std::int64_t rest = size;
      for (std::int64_t part : parts) {
        if (part < 0 || part > rest) rest = -1;
        if (rest < 0) break;
        rest -= part;
      }
      if (rest != 0) {
        throw OpError(ErrorKind::kShape,
                      "the parts do not add up to an axis of size " + std::to_string(size));
      }
    } else {
      const std::int64_t step = lengths ? read_integer(*lengths) : 1;
      if (step < 1) throw OpError(ErrorKind::kShape, "parts of size " + std::to_string(step));
      for (std::int64_t begin = 0; begin < size; begin += parts.back()) {
        parts.push_back(step < size - begin ? step : size - begin);
      }
    }
    const bool drop = !lengths && !keep_axis;
    std::vector<Tensor> items;
    items.reserve(parts.size());
    std::int64_t offset = 0;
    for (std::int64_t part : parts) {
      Shape shape;
      Shape strides;
      for (int a = 0; a < data.rank(); ++a) {
        if (a == at && drop) continue;
        shape.push_back(a == at ? part : data.shape[a]);
        strides.push_back(data.strides[a]);
      }
      items.push_back(view(data, shape, strides, part == 0 ? 0 : offset * data.strides[at]));
      offset += part;
    }
    set_sequence(out[0], std::move(items));
  }

  std::int64_t axis;
  bool keep_axis;
};

struct OptionalHasElement {
  explicit OptionalHasElement(const OpSpec&) {}
  void run(Context& context, Inputs in, std::span<Value> out) const {
    out[0].tensor = scalar(context, !in.empty() && in[0] != nullptr);
  }
};

struct OptionalGetElement {
  explicit OptionalGetElement(const OpSpec&) {}
  void run(Context&, Inputs in, std::span<Value> out) const {
    if (in.empty() || !in[0]) throw OpError(ErrorKind::kModel, "the optional is absent");
    out[0] = *in[0];
  }
};

constexpr OpEntry kOps[] = {
    {"SequenceEmpty", make_op<SequenceEmpty>},
    {"SequenceConstruct", make_op<SequenceConstruct>},
    {"SequenceInsert", make_op<SequenceInsert>},
    {"SequenceErase", make_op<SequenceErase>},
    {"SequenceAt", make_op<SequenceAt>},
    {"SequenceLength", make_op<SequenceLength>},
    {"ConcatFromSequence", make_op<ConcatFromSequence>},
    {"SplitToSequence", make_op<SplitToSequence>},
    {"OptionalHasElement", make_op<OptionalHasElement>},
    {"OptionalGetElement", make_op<OptionalGetElement>},
};

}  // namespace

std::span<const OpEntry> sequence_ops() { return kOps; }

}  // namespace pyrec
