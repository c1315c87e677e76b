#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/watch.h"
#include "plan/op_list.h"
#include "plan/program.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

constexpr std::int64_t kMaxIterations = std::numeric_limits<std::int32_t>::max();

using Body = std::shared_ptr<const Program>;

[[noreturn]] void fail(const std::string& rule) { throw OpError(ErrorKind::kModel, rule); }

Body body_of(const OpSpec& spec, std::size_t index, std::size_t bodies, std::size_t inputs,
             std::size_t least_outputs) {
  if (spec.bodies.size() != bodies) {
    fail("expected " + std::to_string(bodies) + " bodies, got " +
         std::to_string(spec.bodies.size()));
  }
  const Body& body = spec.bodies[index];
  if (body->input_count() != inputs || body->output_count() < least_outputs) {
    fail("expected a body with " + std::to_string(inputs) + " inputs and at least " +
         std::to_string(least_outputs) + " outputs, got " + std::to_string(body->input_count()) +
         " and " + std::to_string(body->output_count()));
  }
  return body;
}

std::size_t captures_of(const OpSpec& spec) {
  const std::int64_t count = spec.attributes.integer("captures", 0);
  if (count < 0 || count > static_cast<std::int64_t>(spec.constants.size())) {
    fail("captures is " + std::to_string(count));
  }
  return static_cast<std::size_t>(count);
}

// What a scan output of no iterations is: attributes scan_dtypes and scan_shape_<i>, else float32
// of shape [0].
struct EmptyScan {
  DType dtype = DType::kFloat32;
  Shape shape{0};
};

std::vector<EmptyScan> empty_scans(const Attributes& attributes, std::size_t count) {
  std::vector<EmptyScan> result(count);
  const std::vector<std::string> names = attributes.texts("scan_dtypes");
  for (std::size_t i = 0; i < count; ++i) {
    for (int code = 0; i < names.size() && code <= static_cast<int>(DType::kFloat64); ++code) {
      const auto dtype = static_cast<DType>(code);
      if (names[i] == dtype_name(dtype)) result[i].dtype = dtype;
    }
    const std::string key = "scan_shape_" + std::to_string(i);
    if (!attributes.has(key)) continue;
    result[i].shape = Shape();
    for (std::int64_t size : attributes.integers(key)) result[i].shape.push_back(size);
  }
  return result;
}

// Collects what the iterations make along a new axis 0, doubling its room as it fills.
class Stack {
 public:
  void add(Context& context, const Value& value, std::int64_t expected) {
    if (value.is_sequence) fail("a scan output is a sequence");
    const Tensor& item = value.tensor;
    if (count_ == 0) {
      shape_ = item.shape;
      grow(context, item.dtype, std::clamp<std::int64_t>(expected, 1, 16));
    } else if (!(item.shape == shape_) || item.dtype != items_.dtype) {
      throw OpError(ErrorKind::kShape, "a scan output changes from " + describe(shape_) + " to " +
                                           describe(item.shape) + " or its element type");
    } else if (count_ == items_.shape[0]) {
      grow(context, item.dtype, 2 * count_);
    }
    Tensor slot = view(items_, shape_, contiguous_strides(shape_), count_ * shape_.elements());
    copy_elements(item, slot);
    ++count_;
  }

  Tensor finish(Context& context, const EmptyScan& empty) const {
    if (count_ == 0) return allocate(context, empty.dtype, empty.shape);
    return view(items_, with_rows(count_), items_.strides);
  }

 private:
  Shape with_rows(std::int64_t rows) const {
    Shape shape{rows};
    for (std::int64_t size : shape_) shape.push_back(size);
    return shape;
  }

  void grow(Context& context, DType dtype, std::int64_t rows) {
    Tensor bigger = allocate(context, dtype, with_rows(rows));
    if (count_ > 0) {
      copy_elements(view(items_, with_rows(count_), items_.strides),
                    view(bigger, with_rows(count_), bigger.strides));
    }
    items_ = std::move(bigger);
  }

  Tensor items_;
  Shape shape_;
  std::int64_t count_ = 0;
};

class If {
 public:
  explicit If(const OpSpec& spec) {
    if (spec.constants.empty()) fail("expected a condition");
    for (std::size_t i = 0; i < 2; ++i) {
      branches_[i] = body_of(spec, i, 2, spec.constants.size() - 1, spec.outputs);
      if (branches_[i]->output_count() != spec.outputs) fail("a branch has too many outputs");
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const bool taken = read_integer(required(in, 0)) != 0;
    branches_[taken ? 0 : 1]->run(context, in.subspan(1), out);
  }

 private:
  std::array<Body, 2> branches_;
};

class Loop {
 public:
  explicit Loop(const OpSpec& spec) {
    const std::size_t inputs = spec.constants.size();
    const std::size_t captures = captures_of(spec);
    if (inputs < 2 + captures) fail("expected a trip count and a condition");
    carried_ = inputs - 2 - captures;
    body_ = body_of(spec, 0, 1, inputs, 1 + carried_);
    if (spec.outputs > body_->output_count() - 1) fail("more outputs than the body makes");
    empty_ = empty_scans(spec.attributes, body_->output_count() - 1 - carried_);
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor* trips = optional(in, 0);
    const Tensor* initial = optional(in, 1);
    const std::int64_t limit = trips ? read_integer(*trips) : kMaxIterations + 1;
    bool going = !initial || read_integer(*initial) != 0;

    std::vector<Value> state(carried_);
    for (std::size_t i = 0; i < carried_; ++i) {
      if (!in[2 + i]) fail("a carried value is missing");
      state[i] = *in[2 + i];
    }
    Value iteration;
    Value condition;
    condition.tensor = allocate(context, DType::kBool, Shape());
    *condition.tensor.as<bool>() = true;
    std::vector<const Value*> inputs(in.size());
    inputs[0] = &iteration;
    inputs[1] = &condition;
    for (std::size_t i = 0; i < carried_; ++i) inputs[2 + i] = &state[i];
    std::copy(in.begin() + static_cast<std::ptrdiff_t>(2 + carried_), in.end(),
              inputs.begin() + static_cast<std::ptrdiff_t>(2 + carried_));
    std::vector<Value> results(body_->output_count());
    std::vector<Stack> stacks(empty_.size());

    for (std::int64_t i = 0; going && i < limit; ++i) {
      if (i == kMaxIterations) {
        throw OpError(ErrorKind::kUnsupported, "a loop runs for more than 2^31 - 1 iterations");
      }
      Watch::check();
      // The body may keep the number, for instance in a sequence.
      if (!iteration.tensor.owner || !iteration.tensor.owner.get()->unique()) {
        iteration.tensor = allocate(context, DType::kInt64, Shape());
      }
      *iteration.tensor.as<std::int64_t>() = i;
      body_->run(context, inputs, results);
      if (results[0].is_sequence) fail("a loop's condition is a sequence");
      going = read_integer(results[0].tensor) != 0;
      std::swap(condition, results[0]);
      for (std::size_t j = 0; j < carried_; ++j) std::swap(state[j], results[1 + j]);
      for (std::size_t j = 0; j < stacks.size(); ++j) {
        stacks[j].add(context, results[1 + carried_ + j], limit);
      }
      for (Value& value : results) value = Value();
    }
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (i < carried_) {
        out[i] = std::move(state[i]);
      } else {
        out[i].tensor = stacks[i - carried_].finish(context, empty_[i - carried_]);
      }
    }
  }

 private:
  std::size_t carried_;
  Body body_;
  std::vector<EmptyScan> empty_;
};

std::vector<std::int64_t> setting(const Attributes& attributes, const std::string& key,
                                  std::size_t count) {
  std::vector<std::int64_t> values = attributes.integers(key);
  if (values.empty()) values.assign(count, 0);
  if (values.size() != count) {
    fail("expected " + std::to_string(count) + " values of " + key + ", got " +
         std::to_string(values.size()));
  }
  return values;
}

class Scan {
 public:
  explicit Scan(const OpSpec& spec) {
    const std::size_t inputs = spec.constants.size();
    const std::size_t captures = captures_of(spec);
    const std::int64_t scanned = spec.attributes.integer("num_scan_inputs", 0);
    if (scanned < 1 || scanned > static_cast<std::int64_t>(inputs - captures)) {
      fail("num_scan_inputs is " + std::to_string(scanned));
    }
    scanned_ = static_cast<std::size_t>(scanned);
    states_ = inputs - captures - scanned_;
    body_ = body_of(spec, 0, 1, inputs, states_);
    if (body_->output_count() != spec.outputs) fail("a body's outputs do not fit the node");
    const std::size_t stacked = spec.outputs - states_;
    axes_ = setting(spec.attributes, "scan_input_axes", scanned_);
    reverse_ = setting(spec.attributes, "scan_input_directions", scanned_);
    output_axes_ = setting(spec.attributes, "scan_output_axes", stacked);
    output_reverse_ = setting(spec.attributes, "scan_output_directions", stacked);
    empty_ = empty_scans(spec.attributes, stacked);
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    std::vector<Value> slices(scanned_);
    std::vector<std::int64_t> steps(scanned_);
    std::int64_t length = -1;
    for (std::size_t i = 0; i < scanned_; ++i) {
      const Tensor& tensor = required(in, states_ + i);
      const int axis = normalize_axis(axes_[i], tensor.rank());
      if (length >= 0 && tensor.shape[axis] != length) {
        throw OpError(ErrorKind::kShape, "the scan inputs have different lengths");
      }
      length = tensor.shape[axis];
      Shape shape;
      Shape strides;
      for (int a = 0; a < tensor.rank(); ++a) {
        if (a == axis) continue;
        shape.push_back(tensor.shape[a]);
        strides.push_back(tensor.strides[a]);
      }
      const bool backward = reverse_[i] != 0 && length > 0;
      steps[i] = (backward ? -1 : 1) * tensor.strides[axis] *
                 static_cast<std::int64_t>(item_size(tensor.dtype));
      slices[i].tensor =
          view(tensor, shape, strides, backward ? (length - 1) * tensor.strides[axis] : 0);
    }
    std::vector<Value> state(states_);
    std::vector<const Value*> inputs(in.begin(), in.end());
    for (std::size_t i = 0; i < states_; ++i) {
      if (!in[i]) fail("a state value is missing");
      state[i] = *in[i];
      inputs[i] = &state[i];
    }
    for (std::size_t i = 0; i < scanned_; ++i) inputs[states_ + i] = &slices[i];
    std::vector<Value> results(body_->output_count());
    std::vector<Stack> stacks(empty_.size());
    for (std::int64_t step = 0; step < length; ++step) {
      Watch::check();
      body_->run(context, inputs, results);
      for (std::size_t i = 0; i < states_; ++i) std::swap(state[i], results[i]);
      for (std::size_t i = 0; i < stacks.size(); ++i) {
        stacks[i].add(context, results[states_ + i], length);
      }
      for (Value& value : results) value = Value();
      if (step + 1 == length) break;
      for (std::size_t i = 0; i < scanned_; ++i) slices[i].tensor.data += steps[i];
    }
    for (std::size_t i = 0; i < states_; ++i) out[i] = std::move(state[i]);
    for (std::size_t i = 0; i < stacks.size(); ++i) {
      const Tensor stacked = stacks[i].finish(context, empty_[i]);
      out[states_ + i].tensor = length == 0 ? stacked : placed(context, stacked, i);
    }
  }

 private:
  // The new axis 0 in its direction and at its place.
  Tensor placed(Context& context, const Tensor& stacked, std::size_t output) const {
    Tensor result = stacked;
    if (output_reverse_[output] != 0) {
      result = view(stacked, stacked.shape, stacked.strides,
                    (stacked.shape[0] - 1) * stacked.strides[0]);
      result.strides[0] = -stacked.strides[0];
      result = contiguous(context, result);
    }
    const int axis = normalize_axis(output_axes_[output], stacked.rank());
    for (int a = 0; a < axis; ++a) {
      std::swap(result.shape[a], result.shape[a + 1]);
      std::swap(result.strides[a], result.strides[a + 1]);
    }
    return result;
  }

  std::size_t states_;
  std::size_t scanned_;
  Body body_;
  std::vector<std::int64_t> axes_;
  std::vector<std::int64_t> reverse_;
  std::vector<std::int64_t> output_axes_;
  std::vector<std::int64_t> output_reverse_;
  std::vector<EmptyScan> empty_;
};

constexpr OpEntry kOps[] = {
    {"If", make_op<If>},
    {"Loop", make_op<Loop>},
    {"Scan", make_op<Scan>},
};

}  // namespace

std::span<const OpEntry> control_flow_ops() { return kOps; }

}  // namespace pyrec
