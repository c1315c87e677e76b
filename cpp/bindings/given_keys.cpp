#include "bindings/given_keys.h"

#include <pybind11/numpy.h>

#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include "bindings/convert.h"
#include "bindings/string_bindings.h"
#include "core/error.h"

namespace py = pybind11;

namespace pyrec {

namespace {

using Integers = PlainArray<std::int64_t>;

void take_texts(TextBuilder& builder, GivenKeys& given) {
  given.numbers = std::move(builder.offsets());
  given.bytes = builder.release();
  given.keys.text = true;
  given.keys.texts = Texts(std::span<const std::int64_t>(given.numbers), given.bytes.get());
}

bool read_numbers(const py::list& items, GivenKeys& given) {
  for (const py::handle item : items) {
    if (!PyLong_CheckExact(item.ptr())) return false;
    int overflow = 0;
    given.numbers.push_back(PyLong_AsLongLongAndOverflow(item.ptr(), &overflow));
    if (overflow != 0) return false;
  }
  given.keys.numbers = given.numbers;
  return true;
}

bool read_texts(const py::list& items, GivenKeys& given) {
  TextBuilder builder(items.size());
  for (const py::handle item : items) {
    if (!PyUnicode_CheckExact(item.ptr())) return false;
    py::ssize_t size = 0;
    const char* bytes = PyUnicode_AsUTF8AndSize(item.ptr(), &size);
    if (bytes == nullptr) {
      PyErr_Clear();
      return false;
    }
    builder.append(std::string_view(bytes, static_cast<std::size_t>(size)));
  }
  take_texts(builder, given);
  return true;
}

}  // namespace

void read_keys(const py::handle& item, bool text, GivenKeys& given) {
  if (!text) {
    if (!py::isinstance<Integers>(item)) {
      throw OpError(ErrorKind::kDType, "expected a contiguous array of int64");
    }
    // Copies what lies at an odd address, which the check above lets pass.
    const auto array = Integers::ensure(item);
    if (!array) throw py::error_already_set();
    given.keys.numbers = {array.data(), static_cast<std::size_t>(array.size())};
    given.kept = array;
    return;
  }
  if (!py::hasattr(item, "offsets") || !py::hasattr(item, "data")) {
    throw OpError(ErrorKind::kDType, "expected strings");
  }
  const py::array offsets(item.attr("offsets")), data(item.attr("data"));
  given.keys.text = true;
  given.keys.texts = borrow_texts(offsets, data);
  given.kept = py::make_tuple(offsets, data);
}

void own(GivenKeys& given) {
  if (!given.keys.text) {
    given.numbers.assign(given.keys.numbers.begin(), given.keys.numbers.end());
    given.keys.numbers = given.numbers;
    return;
  }
  TextBuilder builder(given.keys.size());
  for (std::size_t i = 0; i < given.keys.size(); ++i) builder.append(given.keys.at(i));
  take_texts(builder, given);
}

bool read_plain_keys(const py::handle& item, bool text, GivenKeys& given) {
  if (PyList_CheckExact(item.ptr())) {
    const auto items = py::reinterpret_borrow<py::list>(item);
    return text ? read_texts(items, given) : read_numbers(items, given);
  }
  Tensor plain;
  if (text || !borrow_plain(item, plain)) return false;
  if (plain.dtype != DType::kInt64 || plain.rank() != 1 || !plain.contiguous()) return false;
  given.keys.numbers = {plain.as<std::int64_t>(), static_cast<std::size_t>(plain.elements())};
  own(given);
  return true;
}

}  // namespace pyrec
