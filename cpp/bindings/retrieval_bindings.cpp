#include "bindings/retrieval_bindings.h"

#include <pybind11/numpy.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>

#include "bindings/convert.h"
#include "bindings/gil.h"
#include "bindings/signals.h"
#include "core/error.h"
#include "retrieval/vector_index.h"

namespace py = pybind11;

namespace pyrec {

namespace {

// An index, and the array in whose memory its records lie.
struct IndexHandle {
  py::array kept;
  std::unique_ptr<const VectorIndex> index;

  IndexHandle(const py::array& records, const PlainArray<std::int64_t>& rows, std::size_t width,
              bool biased)
      : kept(records) {
    const bool fits = records.ndim() == 2 && records.itemsize() == 1 && records.strides(1) == 1 &&
                      records.strides(0) == records.shape(1) &&
                      static_cast<std::size_t>(records.shape(1)) >= (width + 1) * sizeof(float) &&
                      records.shape(1) % static_cast<py::ssize_t>(sizeof(float)) == 0 &&
                      reinterpret_cast<std::uintptr_t>(records.data()) % alignof(float) == 0 &&
                      width > 0;
    if (!fits) throw OpError(ErrorKind::kShape, "expected records of vectors");
    const std::span given(rows.data(), static_cast<std::size_t>(rows.size()));
    const auto out = [&](std::int64_t row) { return row < 0 || row >= records.shape(0); };
    if (rows.ndim() != 1 || std::ranges::any_of(given, out)) {
      throw OpError(ErrorKind::kShape, "expected rows of the records");
    }
    const VectorIndex::Table table{static_cast<const std::byte*>(records.data()),
                                   static_cast<std::size_t>(records.shape(1)), width, biased};
    const GilRelease release;
    index = std::make_unique<VectorIndex>(table, given);
  }
};

py::tuple search(const IndexHandle& handle, const std::string& isa, ThreadPool& pool,
                 const PlainArray<float>& queries, std::size_t k) {
  const VectorIndex& index = *handle.index;
  const Kernels& kernels = kernels_named(isa);
  if (queries.ndim() != 2 || static_cast<std::size_t>(queries.shape(1)) != index.width()) {
    throw OpError(ErrorKind::kShape, "expected queries as wide as the vectors");
  }
  k = std::min(k, index.size());
  const std::vector<py::ssize_t> shape{queries.shape(0), static_cast<py::ssize_t>(k)};
  py::array_t<std::int64_t> places(shape);
  py::array_t<float> scores(shape);
  std::int64_t* const to_places = places.mutable_data();
  float* const to_scores = scores.mutable_data();
  run_watched([&] {
    index.search(kernels, pool, queries.data(), static_cast<std::size_t>(queries.shape(0)), k,
                 to_places, to_scores);
  });
  return py::make_tuple(places, scores);
}

}  // namespace

void bind_retrieval(py::module_& module) {
  py::class_<IndexHandle>(module, "VectorIndex")
      .def(py::init<const py::array&, const PlainArray<std::int64_t>&, std::size_t, bool>(),
           py::arg("records"), py::arg("rows"), py::arg("width"), py::arg("biased"))
      .def("search", &search, py::arg("isa"), py::arg("pool"), py::arg("queries"), py::arg("k"));
}

}  // namespace pyrec
