#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <utility>

namespace pyrec {

enum class ErrorKind {
  kShape,        // sizes do not fit together
  kRows,         // inputs of one side differ in their number of rows
  kDType,        // an element type that the operator does not take
  kIdRange,      // an id outside its table
  kNotIntegral,  // a float id that is not an integer its type holds exactly
  kMemory,       // more memory than a call may hold, or than there is
  kUnsupported,  // a valid request that this build cannot serve
  kModel,        // an inconsistent model
  kElsewhere,    // values that only the operator's form in Python takes
  kAlternative,  // this plan's result would not be exact: the alternative plan's is
};

// Thrown by operators, never by kernels. `row` is the row inside the current tile, or -1.
class OpError : public std::exception {
 public:
  OpError(ErrorKind kind, std::string message, std::int64_t row = -1)
      : kind(kind), message(std::move(message)), row(row) {}
  const char* what() const noexcept override { return message.c_str(); }

  ErrorKind kind;
  std::string message;
  std::int64_t row;
};

}  // namespace pyrec
