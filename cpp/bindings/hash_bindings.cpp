#include "bindings/hash_bindings.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bindings/convert.h"
#include "bindings/gil.h"
#include "bindings/string_bindings.h"
#include "core/error.h"
#include "hashing/buckets.h"
#include "hashing/hash.h"

namespace py = pybind11;

namespace pyrec {

namespace {

using Hashes = PlainArray<std::uint64_t>;

using Seeds = std::optional<Hashes>;

// hash(hash, seed, seeds, target) for so many texts.
template <class F>
Hashes hashes_of(const std::string& name, std::size_t count,
                 const std::pair<std::uint64_t, std::uint64_t>& seed, const std::string& key,
                 const Seeds& seeds, const F& hash) {
  const std::optional<Hash> found = find_hash(name);
  if (!found) throw OpError(ErrorKind::kUnsupported, "unknown hash " + name);
  if (seeds && static_cast<std::size_t>(seeds->size()) != count) {
    throw OpError(ErrorKind::kShape, "expected one seed for each string");
  }
  Hashes made(static_cast<py::ssize_t>(count));
  const std::span<std::uint64_t> target(made.mutable_data(), count);
  std::span<const std::uint64_t> starts;
  if (seeds) starts = {seeds->data(), count};
  {
    std::optional<GilRelease> release;
    if (count > kLongBatch) release.emplace();
    hash(*found, HashSeed{seed.first, seed.second, key}, starts, target);
  }
  return made;
}

Hashes hashes_of_texts(const std::string& name, const py::array& offsets, const py::array& data,
                       const std::pair<std::uint64_t, std::uint64_t>& seed, const std::string& key,
                       const std::string& prefix, const Seeds& seeds) {
  const Texts texts = borrow_texts(offsets, data);
  return hashes_of(name, texts.size(), seed, key, seeds,
                   [&](Hash hash, const HashSeed& start, auto starts, auto target) {
                     hash_texts(hash, texts, prefix, start, starts, target);
                   });
}

Hashes hashes_of_views(const std::string& name, const ByteArray& views,
                       const std::vector<ByteArray>& buffers, const Marks& missing,
                       const std::pair<std::uint64_t, std::uint64_t>& seed, const std::string& key,
                       const std::string& prefix, const Seeds& seeds) {
  const std::vector<std::string_view> memory = bytes_of(buffers);
  const TextViews texts(bytes_of(views), memory);
  const bool* gone = marks_of(missing, texts.size());
  return hashes_of(name, texts.size(), seed, key, seeds,
                   [&](Hash hash, const HashSeed& start, auto starts, auto target) {
                     if (hash_texts(hash, texts, gone, prefix, start, starts, target)) return;
                     throw OpError(ErrorKind::kShape, "expected views inside their buffers");
                   });
}

void reduce(Hashes& hashes, const std::string& name, bool narrow, std::uint64_t buckets,
            std::uint64_t first) {
  const std::optional<Modulo> modulo = find_modulo(name);
  if (!modulo) throw OpError(ErrorKind::kUnsupported, "unknown modulo " + name);
  if (buckets == 0) throw OpError(ErrorKind::kShape, "expected at least one bucket");
  const std::span<std::uint64_t> all(hashes.mutable_data(),
                                     static_cast<std::size_t>(hashes.size()));
  std::optional<GilRelease> release;
  if (all.size() > kLongBatch) release.emplace();
  to_buckets(all, *modulo, narrow, buckets, first);
}

}  // namespace

void bind_hashing(py::module_& module) {
  module.def("hash_names", [] {
    const auto names = hash_names();
    return std::vector<std::string>(names.begin(), names.end());
  });
  module.def("hash_texts", &hashes_of_texts, py::arg("name"), py::arg("offsets"), py::arg("data"),
             py::arg("seed"), py::arg("key"), py::arg("prefix"), py::arg("seeds") = py::none());
  module.def("hash_views", &hashes_of_views, py::arg("name"), py::arg("views"), py::arg("buffers"),
             py::arg("missing"), py::arg("seed"), py::arg("key"), py::arg("prefix"),
             py::arg("seeds") = py::none());
  module.def("to_buckets", &reduce, py::arg("hashes").noconvert(), py::arg("modulo"),
             py::arg("narrow"), py::arg("buckets"), py::arg("first"));
}

}  // namespace pyrec
