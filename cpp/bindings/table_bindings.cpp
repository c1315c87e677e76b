#include "bindings/table_bindings.h"

#include <pybind11/numpy.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "bindings/convert.h"
#include "bindings/gil.h"
#include "core/error.h"
#include "tables/id_map.h"

namespace py = pybind11;

namespace pyrec {

namespace {

using Integers = PlainArray<std::int64_t>;

std::span<const std::int64_t> elements(const Integers& array) {
  return {array.data(), static_cast<std::size_t>(array.size())};
}

std::span<std::int64_t> elements(Integers& array) {
  return {array.mutable_data(), static_cast<std::size_t>(array.size())};
}

// The map's lock is let go before the interpreter's is taken back; a thread that holds the
// interpreter's may be waiting for it.
template <class F>
void run_batch(py::ssize_t count, F&& work) {
  std::optional<GilRelease> release;
  if (static_cast<std::size_t>(count) > kLongBatch) release.emplace();
  work();
}

Integers find(const IdMap& map, const Integers& keys) {
  Integers rows(keys.size());
  const auto from = elements(keys);
  const auto to = elements(rows);
  run_batch(keys.size(), [&] { map.find(from, to); });
  return rows;
}

// The same for keys that all have rows.
Integers require(const IdMap& map, const Integers& keys) {
  Integers rows = find(map, keys);
  const auto found = elements(std::as_const(rows));
  const auto absent = std::ranges::find(found, IdMap::kAbsent);
  if (absent != found.end()) {
    throw OpError(ErrorKind::kIdRange, "ids: expected ids of the catalogue, got one that is not",
                  absent - found.begin());
  }
  return rows;
}

Integers assign(IdMap& map, const Integers& keys, const Integers& rows) {
  if (keys.size() != rows.size()) throw OpError(ErrorKind::kShape, "expected one row for each key");
  const auto from = elements(keys);
  const auto to = elements(rows);
  for (const std::int64_t row : to) {
    if (row < 0) throw OpError(ErrorKind::kIdRange, "expected rows of at least 0");
  }
  Integers previous(keys.size());
  const auto before = elements(previous);
  run_batch(keys.size(), [&] { map.assign(from, to, before); });
  return previous;
}

Integers erase(IdMap& map, const Integers& keys) {
  Integers previous(keys.size());
  const auto from = elements(keys);
  const auto before = elements(previous);
  run_batch(keys.size(), [&] { map.erase(from, before); });
  return previous;
}

std::int64_t checked_size(std::int64_t size) {
  if (size < 0 || size > (std::int64_t{1} << 40)) {
    throw OpError(ErrorKind::kShape, "a map of " + std::to_string(size) + " ids");
  }
  return size;
}

}  // namespace

void bind_tables(py::module_& module) {
  py::class_<IdMap>(module, "IdMap")
      .def(py::init([](std::int64_t direct, std::int64_t capacity) {
             return std::make_unique<IdMap>(checked_size(direct), checked_size(capacity));
           }),
           py::arg("direct") = 0, py::arg("capacity") = 0)
      .def("size", &IdMap::size)
      .def(
          "fits", [](const IdMap& map, const Integers& keys) { return map.fits(elements(keys)); },
          py::arg("keys"))
      .def("find", &find, py::arg("keys"))
      .def("require", &require, py::arg("keys"))
      .def("assign", &assign, py::arg("keys"), py::arg("rows"))
      .def("erase", &erase, py::arg("keys"))
      .def(
          "copy",
          [](const IdMap& map, std::int64_t direct, std::int64_t capacity) {
            checked_size(direct);
            checked_size(capacity);
            const GilRelease release;
            return map.copy(direct, capacity);
          },
          py::arg("direct"), py::arg("capacity"))
      .def("reset_lock", &IdMap::reset_lock);
}

}  // namespace pyrec
