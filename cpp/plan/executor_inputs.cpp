#include <algorithm>

#include "core/error.h"
#include "plan/executor.h"
#include "plan/executor_state.h"
#include "plan/rows.h"
#include "plan/tensor_tools.h"

namespace pyrec {

void Executor::bind_symbols(Workspace& workspace, std::size_t inputs, std::int64_t& requests,
                            std::int64_t& rows) const {
  std::vector<std::int64_t>& symbols = workspace.symbols;
  symbols.assign(symbols_, -1);
  requests = -1;
  rows = -1;
  const InputSpec* first_of[2] = {nullptr, nullptr};
  for (std::size_t i = 0; i < inputs; ++i) {
    const InputSpec& spec = inputs_[i];
    const Shape& shape = workspace.globals[i].tensor.shape;
    const auto fail = [&](const std::string& expected) {
      throw StepError(
          OpError(ErrorKind::kShape, "expected " + expected + ", got shape " + describe(shape)),
          "input '" + spec.name + "'");
    };
    if (static_cast<std::size_t>(shape.rank()) != spec.sizes.size()) {
      fail("rank " + std::to_string(spec.sizes.size()));
    }
    for (int axis = 0; axis < shape.rank(); ++axis) {
      const std::int64_t expected = spec.sizes[static_cast<std::size_t>(axis)];
      if (axis == spec.row_axis) {
        std::int64_t& count = spec.request ? requests : rows;
        if (count < 0) {
          count = shape[axis];
          first_of[spec.request] = &spec;
        } else if (count != shape[axis]) {
          throw StepError(
              OpError(ErrorKind::kRows, "expected " + std::to_string(count) + " rows, as input '" +
                                            first_of[spec.request]->name + "' has, got " +
                                            std::to_string(shape[axis])),
              "input '" + spec.name + "'");
        }
      } else if (expected >= 0) {
        if (shape[axis] != expected) {
          fail("size " + std::to_string(expected) + " along axis " + std::to_string(axis));
        }
      } else {
        std::int64_t& size = symbols[static_cast<std::size_t>(-1 - expected)];
        if (size < 0) {
          size = shape[axis];
        } else if (size != shape[axis]) {
          fail("size " + std::to_string(size) + " along axis " + std::to_string(axis) +
               ", as another input has,");
        }
      }
    }
  }
}

void Executor::derive(Workspace& workspace, std::span<const std::int64_t> offsets,
                      bool shared) const {
  std::int64_t requests = -1;
  std::int64_t rows = -1;
  bind_symbols(workspace, given_, requests, rows);
  if (rows < 0 && !offsets.empty()) rows = offsets.back();
  std::int64_t count = offsets.empty() ? 1 : static_cast<std::int64_t>(offsets.size()) - 1;
  if (shared && requests >= 0) count = requests;
  for (const Derivation& item : derivations_) {
    workspace.derived.push_back(std::make_unique<Session>(*item.executor));
    Session& session = *workspace.derived.back();
    for (std::size_t i = 0; i < item.sources.size(); ++i) {
      session.input(i) = borrowed(workspace.globals[item.sources[i]].tensor);
    }
    // Its inputs may tell no number of rows.
    const std::int64_t own = item.request ? count : rows;
    const std::int64_t whole[] = {0, own};
    const auto made = session.run(own < 0 ? std::span<const std::int64_t>() : whole);
    for (std::size_t i = 0; i < made.size(); ++i) {
      workspace.globals[item.results[i]].tensor = borrowed(made[i]);
    }
  }
}

Executor::Requests Executor::bind(Workspace& workspace, std::span<const std::int64_t> offsets,
                                  bool shared) const {
  if (!derivations_.empty()) derive(workspace, offsets, shared);
  std::int64_t requests = -1;
  std::int64_t rows = -1;
  bind_symbols(workspace, inputs_.size(), requests, rows);
  std::int64_t count = offsets.empty() ? 1 : static_cast<std::int64_t>(offsets.size()) - 1;
  if (shared && requests >= 0) count = requests;
  if (requests >= 0 && requests != count) {
    const auto first = std::ranges::find_if(
        inputs_, [](const InputSpec& spec) { return spec.request && spec.row_axis >= 0; });
    throw StepError(OpError(ErrorKind::kRows, "expected " + std::to_string(count) +
                                                  " rows, one for each request, got " +
                                                  std::to_string(requests)),
                    "input '" + first->name + "'");
  }
  if (rows < 0) rows = offsets.empty() ? 1 : offsets.back();
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i) {
    if (offsets[i] > offsets[i + 1]) throw OpError(ErrorKind::kShape, "offsets must not decrease");
  }
  if (!offsets.empty() && (offsets.front() != 0 || offsets.back() != rows)) {
    throw OpError(ErrorKind::kShape,
                  "offsets must run from 0 to the number of candidates, " + std::to_string(rows));
  }
  return {offsets, count, rows};
}

}  // namespace pyrec
