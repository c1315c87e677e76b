#include "bindings/callback_op.h"

#include <pybind11/numpy.h>

#include <string>

#include "bindings/convert.h"
#include "bindings/gil.h"
#include "bindings/text_tensor.h"
#include "plan/tensor_tools.h"
#include "plan/texts.h"

namespace py = pybind11;

namespace pyrec {

namespace {

Tensor copy_from_python(Context& context, const py::handle& item) {
  const auto array = py::array::ensure(item, py::array::c_style);
  if (!array) throw OpError(ErrorKind::kDType, "expected an array");
  if (holds_texts(array)) return copy_texts(context, Strings(array).tensor());
  const Tensor source = borrow_array(array);
  const Tensor copy = allocate(context, source.dtype, source.shape);
  copy_elements(source, copy);
  return copy;
}

}  // namespace

py::object copy_to_python(const Value& value) {
  if (!value.is_sequence) return copy_to_array(value.tensor);
  py::list items;
  for (const Tensor& tensor : value.sequence) items.append(copy_to_array(tensor));
  return items;
}

CallbackOp::~CallbackOp() {
  const GilAcquire gil;
  callable_ = py::object();
}

void CallbackOp::run(Context& context, std::span<const Value* const> in,
                     std::span<Value> out) const {
  if (native_ != nullptr) {
    try {
      native_->run(context, in, out);
      return;
    } catch (const OpError& error) {
      if (error.kind != ErrorKind::kElsewhere) throw;
    }
  }
  const GilAcquire gil;
  py::list arguments;
  for (const Value* value : in) {
    arguments.append(value == nullptr ? py::object(py::none()) : copy_to_python(*value));
  }
  const auto results = py::list(callable_(arguments));
  if (results.size() < out.size()) {
    throw OpError(ErrorKind::kModel, "expected " + std::to_string(out.size()) + " outputs, got " +
                                         std::to_string(results.size()));
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    if (py::isinstance<py::list>(results[i])) {
      out[i].is_sequence = true;
      for (const auto& item : results[i])
        out[i].sequence.push_back(copy_from_python(context, item));
    } else {
      out[i].tensor = copy_from_python(context, results[i]);
    }
  }
}

}  // namespace pyrec
