#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/tensor.h"

namespace pyrec {

// Attributes of one node, read once when its operator is made.
class Attributes {
 public:
  using Item = std::variant<std::int64_t, double, std::string, std::vector<std::int64_t>,
                            std::vector<double>, std::vector<std::string>, Tensor>;

  void set(std::string key, Item item) { items_.insert_or_assign(std::move(key), std::move(item)); }
  bool has(const std::string& key) const { return items_.contains(key); }
  std::int64_t integer(const std::string& key, std::int64_t fallback) const;
  double real(const std::string& key, double fallback) const;
  std::string text(const std::string& key, const std::string& fallback) const;
  std::vector<std::int64_t> integers(const std::string& key) const;  // empty if absent
  std::vector<double> reals(const std::string& key) const;           // empty if absent
  bool holds_texts(const std::string& key) const;                    // whether it is a list of them
  std::vector<std::string> texts(const std::string& key) const;      // empty if absent
  const Tensor* tensor(const std::string& key) const;                // null if absent

 private:
  std::map<std::string, Item> items_;
};

}  // namespace pyrec
