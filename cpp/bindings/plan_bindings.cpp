#include "bindings/plan_bindings.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings/convert.h"
#include "bindings/gil.h"
#include "bindings/item_writer.h"
#include "bindings/prepared_call.h"
#include "bindings/row_reader.h"
#include "bindings/signals.h"
#include "bindings/text_reader.h"
#include "bindings/text_tensor.h"
#include "plan/executor.h"
#include "plan/op_list.h"
#include "plan/program.h"
#include "plan/tensor_tools.h"
#include "plan/texts.h"
#include "selection/top_k.h"

namespace py = pybind11;

namespace pyrec {

namespace {

Tensor copy_from_python(Context& context, const py::handle& item) {
  const auto array = py::array::ensure(item, py::array::c_style);
  if (!array) throw OpError(ErrorKind::kDType, "expected an array");
  if (holds_texts(array)) return copy_texts(context, Strings(array).tensor());
  const Tensor source = borrow_array(array);
  const Tensor copy = allocate(context, source.dtype, source.shape);
  copy_elements(source, copy);
  return copy;
}

py::object to_python(const Value& value) {
  if (!value.is_sequence) return copy_to_array(value.tensor);
  py::list items;
  for (const Tensor& tensor : value.sequence) items.append(copy_to_array(tensor));
  return items;
}

// An operator evaluated by a Python callable: list of arrays in, list of arrays out.
// Where there is a native operator too, it takes the values that this one does not.
class CallbackOp final : public Op {
 public:
  explicit CallbackOp(py::object callable) : callable_(std::move(callable)) {}
  void set_native(std::unique_ptr<Op> native) { native_ = std::move(native); }
  ~CallbackOp() override {
    const GilAcquire gil;
    callable_ = py::object();
  }

  void run(Context& context, std::span<const Value* const> in,
           std::span<Value> out) const override {
    if (native_ != nullptr) {
      try {
        native_->run(context, in, out);
        return;
      } catch (const OpError& error) {
        if (error.kind != ErrorKind::kElsewhere) throw;
      }
    }
    const GilAcquire gil;
    py::list arguments;
    for (const Value* value : in) {
      arguments.append(value == nullptr ? py::object(py::none()) : to_python(*value));
    }
    const auto results = py::list(callable_(arguments));
    if (results.size() < out.size()) {
      throw OpError(ErrorKind::kModel, "expected " + std::to_string(out.size()) + " outputs, got " +
                                           std::to_string(results.size()));
    }
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (py::isinstance<py::list>(results[i])) {
        out[i].is_sequence = true;
        for (const auto& item : results[i])
          out[i].sequence.push_back(copy_from_python(context, item));
      } else {
        out[i].tensor = copy_from_python(context, results[i]);
      }
    }
  }

 private:
  py::object callable_;
  std::unique_ptr<Op> native_;
};

// Reading Python objects needs the interpreter lock, making operators (packing weights) does not.
// So a specification is read as a whole first; its arrays have to stay alive.
struct ProgramSource;

struct StepSource {
  Step step;                       // its `op` is a callback, or still to be made
  OpFactory make = nullptr;        // null where nothing native runs it
  CallbackOp* callback = nullptr;  // its `op`
  Attributes attributes;
  std::vector<ProgramSource> bodies;
};

struct ProgramSource {
  std::vector<StepSource> steps;
  std::size_t slots = 0;
  std::vector<std::int32_t> inputs;
  std::vector<std::int32_t> outputs;
  std::vector<std::pair<std::int32_t, Tensor>> constants;
};

py::array given_array(const py::handle& item) {
  if (!py::isinstance<py::array>(item)) throw OpError(ErrorKind::kDType, "expected an array");
  return py::reinterpret_borrow<py::array>(item);
}

Tensor borrow_constant(const py::handle& item) {
  Tensor texts;
  return borrow_strings(item, texts) ? texts : borrow_array(given_array(item));
}

ProgramSource read_program(const py::handle& spec);

// (operator, label, inputs, outputs, release, attributes, bodies, callback or None, whether it has
// a native form beside the callback)
StepSource read_step(const py::tuple& spec) {
  StepSource source;
  source.step.label = spec[1].cast<std::string>();
  source.step.inputs = spec[2].cast<std::vector<std::int32_t>>();
  source.step.outputs = spec[3].cast<std::vector<std::int32_t>>();
  source.step.release = spec[4].cast<std::vector<std::int32_t>>();
  if (!spec[7].is_none()) {
    auto callback = std::make_unique<CallbackOp>(spec[7]);
    source.callback = callback.get();
    source.step.op = std::move(callback);
    if (!spec[8].cast<bool>()) return source;
  }
  const auto name = spec[0].cast<std::string>();
  source.make = find_op(name);
  if (source.make == nullptr) throw OpError(ErrorKind::kUnsupported, "no native operator " + name);
  source.attributes = read_attributes(spec[5].cast<py::dict>());
  for (const auto& body : spec[6]) source.bodies.push_back(read_program(body));
  return source;
}

// (steps, slots, inputs, outputs, [(slot, array)])
ProgramSource read_program(const py::handle& spec) {
  const auto parts = spec.cast<py::tuple>();
  ProgramSource source;
  source.slots = parts[1].cast<std::size_t>();
  source.inputs = parts[2].cast<std::vector<std::int32_t>>();
  source.outputs = parts[3].cast<std::vector<std::int32_t>>();
  for (const auto& item : parts[4]) {
    const auto pair = item.cast<py::tuple>();
    source.constants.emplace_back(pair[0].cast<std::int32_t>(), borrow_constant(pair[1]));
  }
  for (const auto& step : parts[0]) source.steps.push_back(read_step(step.cast<py::tuple>()));
  return source;
}

std::shared_ptr<const Program> make_program(ProgramSource source, const Kernels& kernels);

Step make_step(StepSource source, const std::vector<std::pair<std::int32_t, Tensor>>& constants,
               const Kernels& kernels) {
  if (source.make == nullptr) return std::move(source.step);
  Step& step = source.step;
  if (step.outputs.empty()) {
    throw StepError(OpError(ErrorKind::kModel, "expected at least one output"), step.label);
  }
  std::vector<std::shared_ptr<const Program>> bodies;
  for (ProgramSource& body : source.bodies) {
    bodies.push_back(make_program(std::move(body), kernels));
  }
  std::vector<const Tensor*> known(step.inputs.size(), nullptr);
  for (std::size_t i = 0; i < known.size(); ++i) {
    for (const auto& [slot, tensor] : constants) {
      if (slot == step.inputs[i]) known[i] = &tensor;
    }
  }
  try {
    auto made = source.make(OpSpec{source.attributes, known, step.outputs.size(), bodies, kernels});
    if (source.callback != nullptr) {
      source.callback->set_native(std::move(made));
    } else {
      step.op = std::move(made);
    }
  } catch (const StepError&) {
    throw;
  } catch (const OpError& error) {
    const bool elsewhere = error.kind == ErrorKind::kElsewhere && source.callback != nullptr;
    if (!elsewhere) throw StepError(error, step.label);
  }
  return std::move(step);
}

std::shared_ptr<const Program> make_program(ProgramSource source, const Kernels& kernels) {
  std::vector<Step> steps;
  for (StepSource& step : source.steps) {
    steps.push_back(make_step(std::move(step), source.constants, kernels));
  }
  return std::make_shared<const Program>(std::move(steps), source.slots, std::move(source.inputs),
                                         std::move(source.outputs), std::move(source.constants));
}

// The executor with the Python objects whose memory it borrows.
struct ExecutorHandle {
  py::object kept;
  std::shared_ptr<const Executor> executor;
};

[[noreturn]] void refuse_out(ErrorKind kind, const std::string& message) {
  throw StepError(OpError(kind, message), "argument 'out'");
}

template <class Enum>
Enum enum_at(const py::handle& item, std::initializer_list<std::pair<const char*, Enum>> names) {
  const auto text = item.cast<std::string>();
  for (const auto& [name, value] : names) {
    if (text == name) return value;
  }
  throw OpError(ErrorKind::kModel, "unknown word " + text);
}

std::unique_ptr<ExecutorHandle> build_plan(const std::string& isa, const py::list& inputs,
                                           std::size_t symbols, const py::list& phases,
                                           const std::vector<std::pair<std::int32_t, int>>& outputs,
                                           std::size_t globals, std::shared_ptr<ThreadPool> pool,
                                           std::int64_t tile_rows, std::size_t max_bytes,
                                           const py::object& alternative, const py::object& few,
                                           std::int64_t few_rows, const py::list& derivations) {
  const Kernels& kernels = kernels_named(isa);
  const auto executor_of = [](const py::object& plan) {
    return plan.is_none() ? nullptr : plan.cast<const ExecutorHandle&>().executor;
  };
  std::shared_ptr<const Executor> other = executor_of(alternative), for_few = executor_of(few);
  std::vector<Derivation> derived;
  for (const auto& item : derivations) {
    const auto parts = item.cast<py::tuple>();
    derived.push_back({executor_of(parts[0]), parts[1].cast<bool>(),
                       parts[2].cast<std::vector<std::size_t>>(),
                       parts[3].cast<std::vector<std::size_t>>()});
  }
  std::vector<InputSpec> input_specs;
  for (const auto& item : inputs) {
    const auto parts = item.cast<py::tuple>();
    input_specs.push_back(
        {parts[0].cast<std::string>(), dtype_from_name(parts[1].cast<std::string>()),
         parts[2].cast<std::vector<std::int64_t>>(), parts[3].cast<int>(), parts[4].cast<bool>()});
  }
  std::vector<Phase> built;
  std::vector<ProgramSource> programs;
  for (const auto& item : phases) {
    const auto parts = item.cast<py::tuple>();
    Phase phase;
    phase.kind = enum_at<Phase::Kind>(parts[0], {{"request", Phase::Kind::kRequest},
                                                 {"tile", Phase::Kind::kTile},
                                                 {"rows", Phase::Kind::kTile},
                                                 {"whole", Phase::Kind::kWhole}});
    phase.at_once = parts[0].cast<std::string>() == "rows";
    programs.push_back(read_program(parts[1]));
    for (const auto& import : parts[2]) {
      const auto fields = import.cast<py::tuple>();
      phase.imports.push_back(
          {fields[0].cast<std::int32_t>(),
           enum_at<Import::Mode>(fields[1], {{"whole", Import::Mode::kWhole},
                                             {"slice", Import::Mode::kSlice},
                                             {"repeat", Import::Mode::kRepeat}}),
           fields[2].cast<int>()});
    }
    for (const auto& item_export : parts[3]) {
      const auto fields = item_export.cast<py::tuple>();
      phase.exports.push_back({fields[0].cast<std::int32_t>(), fields[1].cast<int>()});
    }
    built.push_back(std::move(phase));
  }
  std::vector<OutputSpec> output_specs;
  for (const auto& [global, axis] : outputs) output_specs.push_back({global, axis});
  auto handle = std::make_unique<ExecutorHandle>();
  handle->kept = py::make_tuple(inputs, phases, alternative, few, derivations);
  const GilRelease release;
  for (std::size_t i = 0; i < built.size(); ++i) {
    built[i].program = make_program(std::move(programs[i]), kernels);
  }
  const auto executor = std::make_shared<Executor>(
      std::move(input_specs), symbols, std::move(built), std::move(output_specs), globals, kernels,
      std::move(pool), tile_rows, max_bytes, std::move(other));
  if (for_few) executor->use_for_few_rows(std::move(for_few), few_rows);
  if (!derived.empty()) executor->derive_inputs(std::move(derived));
  handle->executor = executor;
  return handle;
}

// What the inputs of a call borrow beside the caller's arrays.
using HeldTexts = std::vector<Strings>;

Tensor borrow_input(const py::handle& item, DType wanted, HeldTexts& held) {
  Tensor texts;
  if (wanted == DType::kText && borrow_texts(item, held, texts)) return texts;
  if (py::isinstance<py::array>(item)) return borrow_array(py::reinterpret_borrow<py::array>(item));
  throw OpError(ErrorKind::kShape, "expected one array for each input");
}

[[nodiscard]] HeldTexts give_inputs(const Executor& executor, Executor::Session& session,
                                    const py::sequence& arrays) {
  HeldTexts held;
  std::size_t index = 0;
  for (const auto& item : arrays) {
    if (index >= executor.given_count()) {
      throw OpError(ErrorKind::kShape, "expected one array for each input");
    }
    const InputSpec& input = executor.inputs()[index];
    try {
      session.input(index) = borrow_input(item, input.dtype, held);
    } catch (const OpError& error) {
      throw StepError(error, "input '" + input.name + "'");
    }
    ++index;
  }
  if (index != executor.given_count()) {
    throw OpError(ErrorKind::kShape, "wrong number of inputs");
  }
  return held;
}

py::list run_plan(const ExecutorHandle& handle, const py::sequence& arrays,
                  const std::vector<std::int64_t>& offsets, bool to_caller) {
  Executor::Session session(*handle.executor);
  const HeldTexts held = give_inputs(*handle.executor, session, arrays);
  std::span<const Tensor> made;
  run_watched([&] {
    made = session.run(offsets);
    std::size_t bytes = 0;
    for (const Tensor& tensor : made) {
      bytes += checked_bytes(tensor.dtype, tensor.shape);
      if (tensor.dtype == DType::kText) bytes += copied_bytes(tensor);
    }
    session.require_room(bytes);
  });
  py::list outputs;
  for (const Tensor& tensor : made) {
    const bool shown = to_caller && tensor.dtype == DType::kText;
    outputs.append(shown ? texts_to_caller(tensor) : copy_to_array(tensor));
  }
  return outputs;
}

using OptionalFloats = std::optional<PlainArray<float>>;

// The best candidates of each request: rows [B, K] and scores [B, K], 0 and minus infinity beyond
// the counts [B]. `times`, `plus` and `taken` have a number for each row or, of shared candidates,
// for each request and row.
py::tuple run_plan_best(const ExecutorHandle& handle, const py::sequence& arrays,
                        const std::vector<std::int64_t>& offsets, bool shared, std::size_t k,
                        const OptionalFloats& times, const OptionalFloats& plus,
                        const std::optional<PlainArray<bool>>& taken, std::size_t numbers,
                        bool by_request) {
  const auto check = [numbers](const auto& values) {
    if (values && static_cast<std::size_t>(values->size()) != numbers) {
      throw OpError(ErrorKind::kShape, "expected a number for each candidate");
    }
    return values ? values->data() : nullptr;
  };
  Selection selection{k, shared, {check(times), check(plus), nullptr}, by_request};
  selection.adjustment.taken = reinterpret_cast<const std::uint8_t*>(check(taken));
  selection.numbers = numbers;
  Executor::Session session(*handle.executor);
  const HeldTexts held = give_inputs(*handle.executor, session, arrays);
  std::vector<std::vector<Winner>> winners;
  run_watched([&] { session.run_best(offsets, selection, winners); });
  std::size_t width = 0;
  for (const auto& found : winners) width = std::max(width, found.size());
  session.require_room(winners.size() * width * (sizeof(std::int64_t) + sizeof(float)));
  const std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(winners.size()),
                                       static_cast<py::ssize_t>(width)};
  py::array_t<std::int64_t> rows(shape), counts(shape[0]);
  py::array_t<float> scores(shape);
  std::int64_t* to_row = rows.mutable_data();
  float* to_score = scores.mutable_data();
  for (std::size_t request = 0; request < winners.size(); ++request) {
    std::vector<Winner>& found = winners[request];
    counts.mutable_data()[request] = static_cast<std::int64_t>(found.size());
    found.resize(width, {0, -std::numeric_limits<float>::infinity()});
    for (const Winner& winner : found) {
      *to_row++ = winner.row;
      *to_score++ = winner.score;
    }
  }
  return py::make_tuple(rows, scores, counts);
}

void run_plan_into(const ExecutorHandle& handle, const py::sequence& arrays, std::size_t output,
                   const py::object& out) {
  Executor::Session session(*handle.executor);
  const HeldTexts held = give_inputs(*handle.executor, session, arrays);
  if (!py::isinstance<py::array>(out))
    refuse_out(ErrorKind::kDType, "expected an array of float32");
  const auto array = py::reinterpret_borrow<py::array>(out);
  const Tensor target = borrow_array(array);
  if (target.dtype != DType::kFloat32) {
    refuse_out(ErrorKind::kDType, std::string("expected float32, got ") + dtype_name(target.dtype));
  }
  if (!array.writeable()) refuse_out(ErrorKind::kShape, "expected a writable array");
  if (output >= handle.executor->output_count()) throw py::index_error("no such output");
  run_watched([&] { write_scores(session, session.run({})[output], target); });
}

py::object prepare_plan(const py::object& self, std::size_t count, std::vector<std::size_t> places,
                        std::optional<std::pair<std::size_t, int>> rows,
                        std::optional<std::int64_t> most_rows, std::vector<std::int64_t> width,
                        py::object general, std::shared_ptr<ItemStore> store,
                        std::shared_ptr<RowReader> reader) {
  const Executor& executor = *self.cast<const ExecutorHandle&>().executor;
  const std::size_t given = reader ? reader->inputs() : count;
  const std::size_t end = store ? given + 2 : given;
  bool valid = places.size() == executor.given_count() && executor.output_count() == 1 &&
               (!rows || (rows->first < end && rows->second >= 0)) &&
               (!reader || (store && count == 1));
  for (std::size_t place : places) valid = valid && place < end;
  if (!valid) throw py::value_error("a prepared call that does not fit its plan");
  constexpr auto kAny = std::numeric_limits<std::int64_t>::max();
  PreparedSpec spec{count,
                    std::move(places),
                    std::move(store),
                    rows,
                    most_rows.value_or(kAny),
                    std::move(width),
                    std::move(reader)};
  return make_prepared_call(self, executor, std::move(spec), std::move(general));
}

// fields: (dtype, axis of rows, elements of an item, offset, codec or "") of each output; inputs:
// (dtype, rank, axis of rows, place in the plan or -1).
std::unique_ptr<ItemWriter> make_writer(const py::object& self, std::shared_ptr<ItemStore> store,
                                        const py::list& fields, const py::list& inputs) {
  const auto& executor = self.cast<const ExecutorHandle&>().executor;
  std::vector<RecordField> stored;
  for (const auto& item : fields) {
    const auto parts = item.cast<py::tuple>();
    stored.push_back({dtype_from_name(parts[0].cast<std::string>()), parts[1].cast<int>(),
                      parts[2].cast<std::size_t>(), parts[3].cast<std::size_t>(),
                      find_codec(parts[4].cast<std::string>())});
  }
  std::vector<WriterInput> given;
  std::size_t read = 0;
  bool valid = true;
  for (const auto& item : inputs) {
    const auto parts = item.cast<py::tuple>();
    given.push_back({dtype_from_name(parts[0].cast<std::string>()), parts[1].cast<int>(),
                     parts[2].cast<int>(), parts[3].cast<int>()});
    const WriterInput& input = given.back();
    valid = valid && input.axis >= 0 && input.axis < input.rank &&
            input.place < static_cast<int>(executor->inputs().size());
    if (input.place >= 0) ++read;
  }
  for (const InputSpec& spec : executor->inputs()) valid = valid && spec.row_axis >= 0;
  if (!valid || read != executor->inputs().size()) {
    throw py::value_error("a writer that does not fit its plan");
  }
  RecordWriter writer(executor, executor->pool(), std::move(stored), store->stride(0));
  return std::make_unique<ItemWriter>(self, std::move(store), std::move(writer), std::move(given));
}

py::list run_node(const std::string& isa, const std::string& op, const py::dict& attributes,
                  const py::list& inputs, std::size_t outputs, const std::vector<bool>& constants,
                  const py::list& bodies) {
  const Kernels& kernels = kernels_named(isa);
  py::list kept;
  std::vector<Value> values(inputs.size());
  std::vector<const Value*> pointers;
  std::vector<std::pair<std::int32_t, Tensor>> known;
  std::vector<std::int32_t> slots;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    slots.push_back(static_cast<std::int32_t>(i));
    if (inputs[i].is_none()) {
      pointers.push_back(nullptr);
      continue;
    }
    // Scalars become arrays that nobody else holds.
    const auto borrow_kept = [&](const py::handle& item) {
      py::array array = item.cast<py::array>();
      if (holds_texts(array)) {
        kept.append(py::cast(Strings(array)));
        return kept[kept.size() - 1].cast<const Strings&>().tensor();
      }
      kept.append(array);
      return borrow_array(array);
    };
    if (py::isinstance<py::list>(inputs[i])) {
      values[i].is_sequence = true;
      for (const auto& item : inputs[i]) values[i].sequence.push_back(borrow_kept(item));
    } else {
      values[i].tensor = borrow_kept(inputs[i]);
      if (i < constants.size() && constants[i]) {
        known.emplace_back(static_cast<std::int32_t>(i), values[i].tensor);
      }
    }
    pointers.push_back(&values[i]);
  }
  const std::vector<std::int32_t> targets(outputs, -1);
  const Step step = make_step(read_step(py::make_tuple(op, op, slots, targets, py::list(),
                                                       attributes, bodies, py::none(), false)),
                              known, kernels);
  Arena arena;
  const std::vector<std::int64_t> symbols(1, 1);
  Context context{kernels, arena, symbols};
  std::vector<Value> results(outputs);
  run_watched([&] { run_op(*step.op, context, pointers, results); });
  py::list arrays;
  for (const Value& value : results) arrays.append(to_python(value));
  return arrays;
}

py::array_t<std::int64_t> best_rows(const PlainArray<float>& scores, std::int64_t count) {
  if (scores.ndim() != 1) throw OpError(ErrorKind::kShape, "expected scores of one axis");
  std::vector<std::int64_t> rows;
  {
    const std::span<const float> values(scores.data(), static_cast<std::size_t>(scores.size()));
    const GilRelease release;
    rows = top_k(available_kernels().front(), values, count);
  }
  py::array_t<std::int64_t> indices(static_cast<py::ssize_t>(rows.size()));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    indices.mutable_data()[i] = rows[i];
  }
  return indices;
}

const char* error_class(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kShape:
      return "ShapeError";
    case ErrorKind::kRows:
      return "RowCountError";
    case ErrorKind::kDType:
      return "DTypeError";
    case ErrorKind::kIdRange:
    case ErrorKind::kNotIntegral:
      return "IdRangeError";
    case ErrorKind::kMemory:
      return "ResourceLimitError";
    case ErrorKind::kUnsupported:
      return "UnsupportedModelError";
    case ErrorKind::kModel:
      return "ModelError";
    case ErrorKind::kElsewhere:
    case ErrorKind::kAlternative:
      return "UseAlternativeError";
  }
  return "PyrecError";
}

void raise_as_python(const OpError& error, const std::string& label) {
  std::string message = label.empty() ? error.message : label + ": " + error.message;
  if (error.row >= 0) message += " (row " + std::to_string(error.row) + ")";
  const py::object type = py::module_::import("pyrec_infer.errors").attr(error_class(error.kind));
  PyErr_SetString(type.ptr(), message.c_str());
}

// Sets the exception of this package, or Python's own, that a C++ exception stands for.
void set_python_error(const std::exception_ptr& pointer) {
  try {
    std::rethrow_exception(pointer);
  } catch (const StepError& error) {
    raise_as_python(error, error.label);
  } catch (const OpError& error) {
    raise_as_python(error, "");
  } catch (const std::bad_alloc&) {
    raise_as_python(OpError(ErrorKind::kMemory, "the system has no more memory"), "");
  } catch (const std::length_error&) {
    raise_as_python(OpError(ErrorKind::kMemory, "a list is too long"), "");
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
}

}  // namespace

void write_scores(Executor::Session& session, const Tensor& scores, const Tensor& target) {
  if (scores.elements() != target.elements() || scores.dtype != DType::kFloat32) {
    refuse_out(ErrorKind::kShape, "expected " + std::to_string(scores.elements()) +
                                      " elements, got shape " + describe(target.shape));
  }
  const Tensor packed = session.contiguous(scores);
  copy_elements(view(packed, target.shape, contiguous_strides(target.shape)), target);
}

void bind_plan(py::module_& module) {
  make_prepared_type();
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const OpError&) {
      set_python_error(pointer);
    } catch (const std::bad_alloc&) {
      set_python_error(pointer);
    } catch (const std::length_error&) {
      set_python_error(pointer);
    }
  });
  py::class_<ThreadPool, std::shared_ptr<ThreadPool>>(module, "ThreadPool")
      .def(py::init<std::size_t>(), py::arg("threads"))
      .def_property_readonly("threads", &ThreadPool::threads)
      .def(
          "run",
          [](ThreadPool& pool, std::size_t count, const py::function& body) {
            const py::gil_scoped_release released;
            pool.run(count, [&](std::size_t index, std::size_t worker) {
              const py::gil_scoped_acquire held;
              body(index, worker);
            });
          },
          py::arg("count"), py::arg("body"));
  py::class_<Pace>(module, "Pace")
      .def(py::init<>())
      .def(
          "add",
          [](Pace& pace, double taken, double weight) { pace.add(Pace::Time(taken), weight); },
          py::arg("taken"), py::arg("weight"))
      .def(
          "of", [](const Pace& pace, double weight) { return pace.of(weight).count(); },
          py::arg("weight"));
  py::class_<Credit>(module, "Credit")
      .def(py::init<>())
      .def_property_readonly("enough", &Credit::enough)
      .def(
          "share",
          [](Credit& credit, double worked, double taken) {
            credit.share(Credit::Time(worked), Credit::Time(taken));
          },
          py::arg("worked"), py::arg("taken"))
      .def(
          "run_alone",
          [](Credit& credit, double worked, double taken) {
            credit.run_alone(Credit::Time(worked), Credit::Time(taken));
          },
          py::arg("worked"), py::arg("taken"));
  py::class_<ExecutorHandle>(module, "Executor")
      .def(py::init(&build_plan), py::arg("isa"), py::arg("inputs"), py::arg("symbols"),
           py::arg("phases"), py::arg("outputs"), py::arg("globals"), py::arg("pool"),
           py::arg("tile_rows"), py::arg("max_bytes"), py::arg("alternative") = py::none(),
           py::arg("few") = py::none(), py::arg("few_rows") = 0,
           py::arg("derivations") = py::list())
      .def("run", &run_plan, py::arg("arrays"), py::arg("offsets"), py::arg("to_caller") = false)
      .def("run_best", &run_plan_best, py::arg("arrays"), py::arg("offsets"), py::arg("shared"),
           py::arg("k"), py::arg("times").noconvert(), py::arg("plus").noconvert(),
           py::arg("taken").noconvert(), py::arg("numbers"), py::arg("by_request"))
      .def("run_into", &run_plan_into, py::arg("arrays"), py::arg("output"), py::arg("out"))
      .def("prepare", &prepare_plan, py::arg("count"), py::arg("places"), py::arg("rows"),
           py::arg("most_rows"), py::arg("width"), py::arg("general"),
           py::arg("store") = py::none(), py::arg("reader") = py::none())
      .def("writer", &make_writer, py::arg("store"), py::arg("fields"), py::arg("inputs"));
  module.def("op_names", &op_names);
  module.def("run_node", &run_node, py::arg("isa"), py::arg("op"), py::arg("attributes"),
             py::arg("inputs"), py::arg("outputs"), py::arg("constants") = std::vector<bool>(),
             py::arg("bodies") = py::list());
  module.def("top_k", &best_rows, py::arg("scores").noconvert(), py::arg("k"));
}

}  // namespace pyrec
