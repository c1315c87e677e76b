#include "bindings/plan_bindings.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bindings/convert.h"
#include "bindings/gil.h"
#include "bindings/given_values.h"
#include "bindings/item_writer.h"
#include "bindings/prepared_call.h"
#include "bindings/program_reader.h"
#include "bindings/row_reader.h"
#include "bindings/signals.h"
#include "bindings/text_reader.h"
#include "bindings/text_tensor.h"
#include "plan/executor.h"
#include "plan/score_bound.h"
#include "plan/screened_search.h"
#include "plan/tensor_tools.h"
#include "plan/texts.h"
#include "selection/top_k.h"

namespace py = pybind11;

namespace pyrec {

namespace {

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
  return give_winners(session, winners);
}

using BoundPart = PlainArray<float>;

// gates: the numbers of ScoreBound::Gates in their order, or None.
std::unique_ptr<ScoreBound> make_bound(const BoundPart& error, const BoundPart& norm,
                                       const BoundPart& largest,
                                       const std::optional<std::array<double, 7>>& gates) {
  const auto numbers = [](const BoundPart& part) {
    return std::vector<float>(part.data(), part.data() + part.size());
  };
  std::optional<ScoreBound::Gates> own;
  if (gates) {
    const auto& [inexact, reach_lost, others_lost, least, share, size_share, most] = *gates;
    own = {inexact, reach_lost, others_lost, least, share, size_share, most};
  }
  return std::make_unique<ScoreBound>(numbers(error), numbers(norm), numbers(largest), own);
}

py::array_t<float> bound_errors(const ScoreBound& bound, const BoundPart& sums,
                                const std::vector<BoundPart>& measures) {
  const auto count = static_cast<std::size_t>(sums.size());
  ItemMeasures items{{sums.data(), count}, {}};
  if (measures.size() != bound.layers() + (bound.has_gates() ? 1 : 0)) {
    throw OpError(ErrorKind::kShape, "measures that do not fit their bound");
  }
  for (const BoundPart& part : measures) {
    if (static_cast<std::size_t>(part.size()) != 3 * count) {
      throw OpError(ErrorKind::kShape, "expected three measures of each sum");
    }
    if (items.layers.size() < bound.layers()) {
      items.layers.push_back(reinterpret_cast<const RowMeasures*>(part.data()));
    } else {
      items.gates = reinterpret_cast<const GateMeasures*>(part.data());
    }
  }
  py::array_t<float> errors(sums.size());
  bound.find_errors(items, errors.mutable_data());
  return errors;
}

// The best candidates of one request, and how many were scored for it; None where too many would
// be. `outputs` and `rows` are those of ScreenedSearch, the latter of the near plan and of the
// exact one.
py::object run_plan_screened(const ExecutorHandle& handle, const ExecutorHandle& exact,
                             const ScoreBound& bound, const py::sequence& near_arrays,
                             const py::sequence& exact_arrays, std::vector<std::size_t> outputs,
                             std::pair<std::size_t, std::size_t> rows, bool sigmoid, std::size_t k,
                             std::size_t likely, std::size_t most) {
  const Executor& near = *handle.executor;
  bool valid = rows.first < near.given_count() && rows.second < exact.executor->given_count() &&
               k > 0 && likely >= k && exact.executor->output_count() == 1;
  for (const std::size_t output : outputs) valid = valid && output < near.output_count();
  if (!valid) throw py::value_error("a search that does not fit its plans");
  const ScreenedSearch search{
      near, *exact.executor, bound, std::move(outputs), rows.first, rows.second, sigmoid,
      k,    likely,          most};
  Executor::Session near_session(near), exact_session(*exact.executor);
  const HeldTexts held[] = {give_inputs(near, near_session, near_arrays),
                            give_inputs(*exact.executor, exact_session, exact_arrays)};
  std::optional<ScreenedBest> found;
  run_watched([&] { found = search_screened(search, near_session, exact_session); });
  if (!found) return py::none();
  const auto size = static_cast<py::ssize_t>(found->winners.size());
  py::array_t<std::int64_t> places(size);
  py::array_t<float> scores(size);
  for (py::ssize_t i = 0; i < size; ++i) {
    const Winner& winner = found->winners[static_cast<std::size_t>(i)];
    places.mutable_data()[i] = winner.row;
    scores.mutable_data()[i] = winner.score;
  }
  return py::make_tuple(places, scores, found->refined);
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
                        std::shared_ptr<RowReader> reader, bool lenient) {
  const Executor& executor = *self.cast<const ExecutorHandle&>().executor;
  const std::size_t given = reader ? reader->inputs() : count;
  const std::size_t end = store ? given + 2 : given;
  bool valid = places.size() == executor.given_count() && executor.output_count() == 1 &&
               (!rows || (rows->first < places.size() && rows->second >= 0)) &&
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
                    std::move(reader),
                    lenient};
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

}  // namespace

void write_scores(Executor::Session& session, const Tensor& scores, const Tensor& target) {
  if (scores.elements() != target.elements() || scores.dtype != DType::kFloat32) {
    refuse_out(ErrorKind::kShape, "expected " + std::to_string(scores.elements()) +
                                      " elements, got shape " + describe(target.shape));
  }
  const Tensor packed = session.contiguous(scores);
  copy_elements(view(packed, target.shape, contiguous_strides(target.shape)), target);
}

py::tuple give_winners(Executor::Session& session, std::vector<std::vector<Winner>>& winners) {
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

void bind_plan(py::module_& module) {
  find_number_types();
  make_prepared_type();
  py::class_<ScoreBound>(module, "ScoreBound")
      .def(py::init(&make_bound), py::arg("error").noconvert(), py::arg("norm").noconvert(),
           py::arg("largest").noconvert(), py::arg("gates"))
      .def("errors", &bound_errors, py::arg("sums").noconvert(), py::arg("measures"));
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
      .def("run_screened", &run_plan_screened, py::arg("exact"), py::arg("bound"),
           py::arg("near_arrays"), py::arg("exact_arrays"), py::arg("outputs"), py::arg("rows"),
           py::arg("sigmoid"), py::arg("k"), py::arg("likely"), py::arg("most"))
      .def("run_into", &run_plan_into, py::arg("arrays"), py::arg("output"), py::arg("out"))
      .def("prepare", &prepare_plan, py::arg("count"), py::arg("places"), py::arg("rows"),
           py::arg("most_rows"), py::arg("width"), py::arg("general"),
           py::arg("store") = py::none(), py::arg("reader") = py::none(),
           py::arg("lenient") = false)
      .def("writer", &make_writer, py::arg("store"), py::arg("fields"), py::arg("inputs"));
  module.def("least_sum", &least_sum, py::arg("score"), py::arg("sigmoid"));
  module.def("top_k", &best_rows, py::arg("scores").noconvert(), py::arg("k"));
}

}  // namespace pyrec
