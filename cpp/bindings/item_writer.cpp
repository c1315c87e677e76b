#include "bindings/item_writer.h"

#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <utility>

#include "bindings/convert.h"
#include "bindings/gil.h"
#include "bindings/given_keys.h"
#include "bindings/signals.h"
#include "bindings/store_bindings.h"
#include "bindings/text_tensor.h"
#include "core/error.h"

namespace py = pybind11;

namespace pyrec {

namespace {

// Strings, or those of an array of nothing else, which `held` keeps then.
bool borrow_words(const py::handle& item, std::vector<Strings>& held, Tensor& tensor) {
  if (borrow_strings(item, tensor)) return true;
  if (!py::isinstance<py::array>(item)) return false;
  const auto array = py::reinterpret_borrow<py::array>(item);
  if (array.dtype().kind() != 'U') return false;
  try {
    held.emplace_back(array);
  } catch (const OpError&) {
    return false;
  }
  tensor = held.back().tensor();
  return true;
}

// Whether an array, or a tensor of strings, is as the plan takes it, with so many rows.
bool borrow_rows(const py::handle& item, DType dtype, int rank, int axis, std::size_t rows,
                 std::vector<Strings>& held, Tensor& tensor) {
  const bool read =
      dtype == DType::kText ? borrow_words(item, held, tensor) : borrow_plain(item, tensor);
  return read && tensor.dtype == dtype && tensor.rank() == rank &&
         tensor.shape[axis] == static_cast<std::int64_t>(rows);
}

// Runs what a change is made of; false where it failed with an error that is to be worded in
// Python. What a signal's handler has raised goes on.
template <class F>
bool succeeds(F&& f) {
  try {
    run_watched(f);
    return true;
  } catch (const py::error_already_set& error) {
    const py::object own = py::module_::import("pyrec_infer.errors").attr("PyrecError");
    if (!error.matches(own) && !error.matches(PyExc_MemoryError)) throw;
    return false;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

ItemWriter::ItemWriter(py::object owner, std::shared_ptr<ItemStore> store, RecordWriter writer,
                       std::vector<WriterInput> inputs)
    : owner_(std::move(owner)),
      store_(std::move(store)),
      writer_(std::move(writer)),
      inputs_(std::move(inputs)) {}

bool ItemWriter::write(StoreBatch& batch, const py::list& arrays) const {
  const std::vector<InputSpec>& specs = writer_.executor().inputs();
  if (batch.store != store_ || arrays.size() != specs.size()) return false;
  std::vector<Strings> held;
  std::vector<Tensor> tensors(specs.size());
  for (std::size_t i = 0; i < specs.size(); ++i) {
    const InputSpec& spec = specs[i];
    const auto rank = static_cast<int>(spec.sizes.size());
    const std::size_t rows = batch.batch.size();
    if (!borrow_rows(arrays[i], spec.dtype, rank, spec.row_axis, rows, held, tensors[i])) {
      return false;
    }
  }
  return succeeds([&] { writer_.write(tensors, batch.batch); });
}

bool ItemWriter::put(const py::list& arrays, const py::handle& ids, const py::handle& rest) const {
  GivenKeys given;
  if (arrays.size() != inputs_.size() || !read_plain_keys(ids, store_->text(), given)) return false;
  const std::size_t count = given.keys.size();
  if (count == 0) return false;
  std::vector<Strings> held;
  std::vector<Tensor> tensors(writer_.executor().inputs().size());
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const WriterInput& input = inputs_[i];
    Tensor unread;
    Tensor& tensor = input.place < 0 ? unread : tensors[static_cast<std::size_t>(input.place)];
    if (!borrow_rows(arrays[i], input.dtype, input.rank, input.axis, count, held, tensor)) {
      return false;
    }
  }
  Tensor others;
  const std::size_t width = store_->stride() - store_->stride(0);
  if ((width > 0) == rest.is_none()) return false;
  if (width > 0 && !(borrow_rows(rest, DType::kUint8, 2, 0, count, held, others) &&
                     others.contiguous() && others.shape[1] == static_cast<std::int64_t>(width))) {
    return false;
  }
  bool different = true;
  const bool done = succeeds([&] {
    different = count == 1 || last_of_each(given.keys).empty();
    if (!different) return;
    ItemStore::Batch batch(*store_);
    store_->take(count, batch);
    writer_.write(tensors, batch);
    if (width > 0) batch.write(0, others.data, count, width, 1);
    store_->put(given.keys, batch);
  });
  return done && different;
}

void bind_item_writer(py::module_& module) {
  py::class_<ItemWriter>(module, "ItemWriter")
      .def("write", &ItemWriter::write, py::arg("batch"), py::arg("arrays"))
      .def("put", &ItemWriter::put, py::arg("arrays"), py::arg("ids"), py::arg("rest"));
}

}  // namespace pyrec
