#include "bindings/node_bindings.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bindings/callback_op.h"
#include "bindings/convert.h"
#include "bindings/program_reader.h"
#include "bindings/signals.h"
#include "bindings/text_tensor.h"
#include "plan/op_list.h"
#include "plan/tensor_tools.h"

namespace py = pybind11;

namespace pyrec {

namespace {

py::list run_node(const std::string& isa, const std::string& op, const py::dict& attributes,
                  const py::list& inputs, std::size_t outputs, const std::vector<bool>& constants,
                  const py::list& bodies) {
  const Kernels& kernels = kernels_named(isa);
  py::list kept;
  std::vector<Value> values(inputs.size());
  std::vector<const Value*> pointers;
  Constants known;
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
  for (const Value& value : results) arrays.append(copy_to_python(value));
  return arrays;
}

}  // namespace

void bind_nodes(py::module_& module) {
  module.def("op_names", &op_names);
  module.def("run_node", &run_node, py::arg("isa"), py::arg("op"), py::arg("attributes"),
             py::arg("inputs"), py::arg("outputs"), py::arg("constants") = std::vector<bool>(),
             py::arg("bodies") = py::list());
}

}  // namespace pyrec
