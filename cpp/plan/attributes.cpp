#include "plan/attributes.h"

#include <cmath>

#include "core/error.h"

namespace pyrec {

namespace {

[[noreturn]] void wrong_type(const std::string& key, const char* expected) {
  throw OpError(ErrorKind::kModel, "attribute " + key + ": expected " + expected);
}

bool is_empty_list(const Attributes::Item& item) {
  return std::visit(
      [](const auto& held) {
        if constexpr (requires { typename std::decay_t<decltype(held)>::value_type; }) {
          return held.empty();
        }
        return false;
      },
      item);
}

}  // namespace

std::int64_t Attributes::integer(const std::string& key, std::int64_t fallback) const {
  const auto found = items_.find(key);
  if (found == items_.end()) return fallback;
  if (const auto* value = std::get_if<std::int64_t>(&found->second)) return *value;
  if (const auto* value = std::get_if<double>(&found->second)) {
    if (std::trunc(*value) == *value && std::fabs(*value) < 0x1p63) {
      return static_cast<std::int64_t>(*value);
    }
  }
  wrong_type(key, "an integer");
}

double Attributes::real(const std::string& key, double fallback) const {
  const auto found = items_.find(key);
  if (found == items_.end()) return fallback;
  if (const auto* value = std::get_if<double>(&found->second)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&found->second)) {
    return static_cast<double>(*value);
  }
  wrong_type(key, "a number");
}

std::string Attributes::text(const std::string& key, const std::string& fallback) const {
  const auto found = items_.find(key);
  if (found == items_.end()) return fallback;
  if (const auto* value = std::get_if<std::string>(&found->second)) return *value;
  wrong_type(key, "a string");
}

std::vector<std::int64_t> Attributes::integers(const std::string& key) const {
  const auto found = items_.find(key);
  if (found == items_.end() || is_empty_list(found->second)) return {};
  if (const auto* values = std::get_if<std::vector<std::int64_t>>(&found->second)) return *values;
  wrong_type(key, "a list of integers");
}

std::vector<double> Attributes::reals(const std::string& key) const {
  const auto found = items_.find(key);
  if (found == items_.end() || is_empty_list(found->second)) return {};
  if (const auto* values = std::get_if<std::vector<double>>(&found->second)) return *values;
  if (const auto* values = std::get_if<std::vector<std::int64_t>>(&found->second)) {
    return {values->begin(), values->end()};
  }
  wrong_type(key, "a list of numbers");
}

bool Attributes::holds_texts(const std::string& key) const {
  const auto found = items_.find(key);
  return found != items_.end() && std::holds_alternative<std::vector<std::string>>(found->second);
}

std::vector<std::string> Attributes::texts(const std::string& key) const {
  const auto found = items_.find(key);
  if (found == items_.end() || is_empty_list(found->second)) return {};
  if (const auto* values = std::get_if<std::vector<std::string>>(&found->second)) return *values;
  wrong_type(key, "a list of strings");
}

const Tensor* Attributes::tensor(const std::string& key) const {
  const auto found = items_.find(key);
  if (found == items_.end()) return nullptr;
  if (const auto* value = std::get_if<Tensor>(&found->second)) return value;
  wrong_type(key, "a tensor");
}

}  // namespace pyrec
