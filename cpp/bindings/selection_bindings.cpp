#include "bindings/selection_bindings.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "bindings/convert.h"
#include "bindings/signals.h"
#include "core/error.h"
#include "selection/caps.h"
#include "selection/diversity.h"
#include "selection/excluded.h"

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

using Numbers = PlainArray<std::int64_t>;

std::span<const std::int64_t> line_of(const Numbers& given) {
  if (given.ndim() != 1) throw OpError(ErrorKind::kShape, "expected one axis");
  return {given.data(), static_cast<std::size_t>(given.size())};
}

// Of ranked places of each request the first k whose rows it may have, their scores, and how many
// there are; 0 and minus infinity behind them.
py::tuple without(const Numbers& places, const PlainArray<float>& scores, const Numbers& counts,
                  const Numbers& rows, const Numbers& excluded,
                  const std::optional<Numbers>& owners, std::size_t k) {
  const std::span by_place = line_of(rows), found = line_of(counts);
  const bool fits =
      places.ndim() == 2 && scores.ndim() == 2 && scores.shape(1) == places.shape(1) &&
      static_cast<std::size_t>(places.shape(0)) == found.size() &&
      scores.shape(0) == places.shape(0) && (!owners || owners->size() == excluded.size());
  if (!fits) throw OpError(ErrorKind::kShape, "expected places and scores of each request");
  const ExcludedRows gone(line_of(excluded),
                          owners ? line_of(*owners) : std::span<const std::int64_t>());
  const auto width = static_cast<std::size_t>(places.shape(1));
  const std::size_t kept = std::min(k, width);
  const std::vector<py::ssize_t> shape{places.shape(0), static_cast<py::ssize_t>(kept)};
  Numbers to(shape), left(places.shape(0));
  PlainArray<float> values(shape);
  std::fill_n(to.mutable_data(), to.size(), 0);
  std::fill_n(values.mutable_data(), values.size(), -std::numeric_limits<float>::infinity());
  for (std::size_t request = 0; request < found.size(); ++request) {
    std::size_t count = 0;
    const std::size_t end = std::min(static_cast<std::size_t>(found[request]), width);
    for (std::size_t i = 0; i < end && count < kept; ++i) {
      const std::int64_t place = places.data()[request * width + i];
      if (place < 0 || static_cast<std::size_t>(place) >= by_place.size()) {
        throw OpError(ErrorKind::kShape, "expected places of the items");
      }
      if (gone.has(request, by_place[static_cast<std::size_t>(place)])) continue;
      to.mutable_data()[request * kept + count] = place;
      values.mutable_data()[request * kept + count++] = scores.data()[request * width + i];
    }
    left.mutable_data()[request] = static_cast<std::int64_t>(count);
  }
  return py::make_tuple(to, values, left);
}

// What likeness is of: units, or values and whether they are there.
struct GivenLikeness {
  const std::optional<PlainArray<double>>& units;
  const std::optional<Numbers>& values;
  const std::optional<PlainArray<bool>>& there;

  void require(std::size_t count) const {
    const auto is_of_each = [&](const py::array& given) {
      return given.ndim() == 2 && static_cast<std::size_t>(given.shape(0)) == count;
    };
    const bool fits = units ? is_of_each(*units)
                            : values && there && is_of_each(*values) && is_of_each(*there) &&
                                  values->shape(1) == there->shape(1);
    if (!fits) throw OpError(ErrorKind::kShape, "expected what likeness is of, of each item");
  }

  Alike alike() const {
    const auto span_of = [](const auto& array) {
      return std::span(array.data(), static_cast<std::size_t>(array.size()));
    };
    if (units) return product_of(span_of(*units), static_cast<std::size_t>(units->shape(1)));
    return share_of(span_of(*values), span_of(*there), static_cast<std::size_t>(values->shape(1)));
  }
};

std::span<const double> numbers_of(const PlainArray<double>& given, std::size_t count) {
  if (given.ndim() != 1 || static_cast<std::size_t>(given.size()) != count) {
    throw OpError(ErrorKind::kShape, "expected a number of each item");
  }
  return {given.data(), count};
}

Numbers choose_relevant(const PlainArray<double>& scores, const PlainArray<double>& worth,
                        double diversity, std::size_t k,
                        const std::optional<PlainArray<double>>& units,
                        const std::optional<Numbers>& values,
                        const std::optional<PlainArray<bool>>& there) {
  const auto count = static_cast<std::size_t>(scores.size());
  const GivenLikeness likeness{units, values, there};
  likeness.require(count);
  const std::span from = numbers_of(scores, count), own = numbers_of(worth, count);
  std::vector<std::int64_t> chosen;
  run_watched([&] { chosen = most_relevant(from, own, diversity, k, likeness.alike()); });
  return Numbers(static_cast<py::ssize_t>(chosen.size()), chosen.data());
}

Numbers choose_determinate(const PlainArray<double>& weights, const PlainArray<double>& own,
                           double least, std::size_t k,
                           const std::optional<PlainArray<double>>& units,
                           const std::optional<Numbers>& values,
                           const std::optional<PlainArray<bool>>& there) {
  const auto count = static_cast<std::size_t>(weights.size());
  const GivenLikeness likeness{units, values, there};
  likeness.require(count);
  const Determinant determinant{numbers_of(weights, count), numbers_of(own, count), least};
  std::vector<std::int64_t> chosen;
  run_watched([&] { chosen = most_determinate(determinant, k, likeness.alike()); });
  return Numbers(static_cast<py::ssize_t>(chosen.size()), chosen.data());
}

}  // namespace

void bind_selection(py::module_& module) {
  module.def("without", &without, py::arg("places"), py::arg("scores"), py::arg("counts"),
             py::arg("rows"), py::arg("excluded"), py::arg("owners"), py::arg("k"));
  module.def("choose_relevant", &choose_relevant, py::arg("scores"), py::arg("worth"),
             py::arg("diversity"), py::arg("k"), py::arg("units"), py::arg("values"),
             py::arg("there"));
  module.def("choose_determinate", &choose_determinate, py::arg("weights"), py::arg("own"),
             py::arg("least"), py::arg("k"), py::arg("units"), py::arg("values"), py::arg("there"));
  module.def("walk_caps", &walk_caps, py::arg("caps"), py::arg("taken"), py::arg("count"),
             py::arg("k"), py::arg("skip") = py::none());
}

}  // namespace pyrec
