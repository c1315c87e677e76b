#include "bindings/selection_bindings.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "bindings/convert.h"
#include "core/error.h"
#include "selection/caps.h"

namespace py = pybind11;

namespace pyrec {

namespace {

// Values of items, what stands for none, and how many may have a value: each, and some.
using GivenCap = std::tuple<PlainArray<std::int64_t>, std::int64_t, std::size_t,
                            std::unordered_map<std::int64_t, std::size_t>>;

PlainArray<std::int64_t> walk_caps(const std::vector<GivenCap>& given, std::size_t taken,
                                   std::size_t count, std::size_t k,
                                   const std::optional<PlainArray<bool>>& skip) {
  std::vector<Cap> caps;
  for (const auto& [values, absent, every, of] : given) {
    if (values.ndim() != 1 || static_cast<std::size_t>(values.size()) != taken + count) {
      throw OpError(ErrorKind::kShape, "expected a value of each item");
    }
    caps.push_back({{values.data(), taken + count}, absent, every, of});
  }
  if (skip && (skip->ndim() != 1 || static_cast<std::size_t>(skip->size()) != count)) {
    throw OpError(ErrorKind::kShape, "expected a flag of each item");
  }
  const std::vector<std::int64_t> kept = walk(caps, taken, count, skip ? skip->data() : nullptr, k);
  return PlainArray<std::int64_t>(static_cast<py::ssize_t>(kept.size()), kept.data());
}

}  // namespace

void bind_selection(py::module_& module) {
  module.def("walk_caps", &walk_caps, py::arg("caps"), py::arg("taken"), py::arg("count"),
             py::arg("k"), py::arg("skip") = py::none());
}

}  // namespace pyrec
