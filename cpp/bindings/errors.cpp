#include "bindings/errors.h"

#include <exception>
#include <new>
#include <stdexcept>
#include <string>

#include "core/error.h"
#include "plan/program.h"

namespace py = pybind11;

namespace pyrec {

namespace {

const char* error_class(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kShape:
      return "ShapeError";
    case ErrorKind::kRows:
      return "RowCountError";
    case ErrorKind::kDType:
      return "DTypeError";
    case ErrorKind::kIdRange:
    case ErrorKind::kNotIntegral:
      return "IdRangeError";
    case ErrorKind::kMemory:
      return "ResourceLimitError";
    case ErrorKind::kUnsupported:
      return "UnsupportedModelError";
    case ErrorKind::kModel:
      return "ModelError";
    case ErrorKind::kElsewhere:
    case ErrorKind::kAlternative:
      return "UseAlternativeError";
  }
  return "PyrecError";
}

void raise_as_python(const OpError& error, const std::string& label) {
  std::string message = label.empty() ? error.message : label + ": " + error.message;
  if (error.row >= 0) message += " (row " + std::to_string(error.row) + ")";
  const py::object type = py::module_::import("pyrec_infer.errors").attr(error_class(error.kind));
  PyErr_SetString(type.ptr(), message.c_str());
}

// Sets the exception of this package, or Python's own, that a C++ exception stands for.
void set_python_error(const std::exception_ptr& pointer) {
  try {
    std::rethrow_exception(pointer);
  } catch (const StepError& error) {
    raise_as_python(error, error.label);
  } catch (const OpError& error) {
    raise_as_python(error, "");
  } catch (const std::bad_alloc&) {
    raise_as_python(OpError(ErrorKind::kMemory, "the system has no more memory"), "");
  } catch (const std::length_error&) {
    raise_as_python(OpError(ErrorKind::kMemory, "a list is too long"), "");
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
}

}  // namespace

void translate_errors() {
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const OpError&) {
      set_python_error(pointer);
    } catch (const std::bad_alloc&) {
      set_python_error(pointer);
    } catch (const std::length_error&) {
      set_python_error(pointer);
    }
  });
}

}  // namespace pyrec
