#include "bindings/sparse_bindings.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "bindings/convert.h"
#include "bindings/gil.h"
#include "bindings/signals.h"
#include "core/error.h"
#include "sparse/sparse_matrix.h"
#include "sparse/top_products.h"

namespace py = pybind11;

namespace pyrec {

namespace {

template <class T>
std::span<const T> axis(const PlainArray<T>& array) {
  if (array.ndim() != 1) throw OpError(ErrorKind::kShape, "expected one axis");
  return {array.data(), static_cast<std::size_t>(array.size())};
}

using Sizes = std::optional<std::pair<PlainArray<double>, PlainArray<double>>>;

py::tuple search_sparse(const SparseMatrix& matrix, ThreadPool& pool, const SparseMatrix& rows,
                        std::size_t k, bool without_own,
                        const std::optional<PlainArray<std::uint8_t>>& allowed,
                        const Sizes& sizes) {
  if (rows.width() != matrix.rows()) throw OpError(ErrorKind::kShape, "expected rows that fit");
  ProductRules rules;
  rules.without_own = without_own;
  if (without_own && matrix.rows() != matrix.width()) {
    throw OpError(ErrorKind::kShape, "expected a square matrix");
  }
  if (allowed) rules.allowed = axis(*allowed);
  if (sizes) {
    rules.row_sizes = axis(sizes->first);
    rules.column_sizes = axis(sizes->second);
  }
  const bool fits = (!allowed || rules.allowed.size() == matrix.width()) &&
                    (!sizes || (rules.row_sizes.size() == rows.rows() &&
                                rules.column_sizes.size() == matrix.width()));
  if (!fits) throw OpError(ErrorKind::kShape, "expected one for each row or column");
  k = std::min(k, matrix.width());
  const std::vector<py::ssize_t> shape{static_cast<py::ssize_t>(rows.rows()),
                                       static_cast<py::ssize_t>(k)};
  py::array_t<std::int32_t> columns(shape);
  py::array_t<float> scores(shape);
  py::array_t<std::int64_t> counts(shape.front());
  std::int32_t* const to_columns = columns.mutable_data();
  float* const to_scores = scores.mutable_data();
  std::int64_t* const to_counts = counts.mutable_data();
  std::fill_n(to_columns, columns.size(), 0);
  std::fill_n(to_scores, scores.size(), 0.0f);
  std::fill_n(to_counts, counts.size(), 0);
  if (k > 0) {
    run_watched(
        [&] { top_products(pool, rows, matrix, k, rules, to_columns, to_scores, to_counts); });
  }
  return py::make_tuple(columns, scores, counts);
}

}  // namespace

void bind_sparse(py::module_& module) {
  py::class_<SparseMatrix>(module, "SparseMatrix")
      .def(py::init([](const PlainArray<std::int64_t>& bounds,
                       const PlainArray<std::int32_t>& columns, const PlainArray<float>& values,
                       std::size_t width) {
             const auto ends = axis(bounds);
             const auto places = axis(columns);
             const auto numbers = axis(values);
             const GilRelease release;
             return std::make_unique<SparseMatrix>(ends, places, numbers, width);
           }),
           py::arg("bounds"), py::arg("columns"), py::arg("values"), py::arg("width"))
      .def("top_products", &search_sparse, py::arg("pool"), py::arg("rows"), py::arg("k"),
           py::arg("without_own"), py::arg("allowed"), py::arg("sizes"));
}

}  // namespace pyrec
