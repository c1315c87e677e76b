#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <span>
#include <utility>

#include "plan/op.h"

namespace pyrec {

// An operator evaluated by a Python callable: list of arrays in, list of arrays out.
// Where there is a native operator too, it takes the values that this one does not.
class CallbackOp final : public Op {
 public:
  explicit CallbackOp(pybind11::object callable) : callable_(std::move(callable)) {}
  void set_native(std::unique_ptr<Op> native) { native_ = std::move(native); }
  ~CallbackOp() override;

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const override;

 private:
  pybind11::object callable_;
  std::unique_ptr<Op> native_;
};

// An array with a tensor's elements, or a list of them.
pybind11::object copy_to_python(const Value& value);

}  // namespace pyrec
