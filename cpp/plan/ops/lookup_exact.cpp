#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>

#include "plan/op_list.h"
#include "plan/ops/take.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

// The bytes at one place of chosen rows of a record table, as elements of a type.
class LookupExact {
 public:
  explicit LookupExact(const OpSpec& spec)
      : offset_(spec.attributes.integer("offset", 0)),
        width_(spec.attributes.integer("width", -1)),
        dtype_(dtype_from_name(spec.attributes.text("to", ""))) {
    constexpr std::int64_t kMost = std::int64_t{1} << 40;
    if (offset_ < 0 || offset_ > kMost || width_ < 0 || width_ > kMost) {
      throw OpError(ErrorKind::kModel, "expected an offset and a width of at least 0");
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Tensor& source = required(in, 0);
    const Tensor& table = required(in, 1);
    const bool column = source.rank() == 2 && source.shape[1] == 1;
    if ((source.rank() != 1 && !column) || source.dtype != DType::kInt64) {
      throw OpError(ErrorKind::kShape, "expected one int64 row number for each row");
    }
    const auto bytes = width_ * static_cast<std::int64_t>(item_size(dtype_));
    if (table.rank() != 2 || table.dtype != DType::kUint8 || offset_ + bytes > table.shape[1]) {
      throw OpError(ErrorKind::kShape,
                    "expected records of at least " + std::to_string(offset_ + bytes) + " bytes");
    }
    const Tensor records = table.strides[1] == 1 ? table : contiguous(context, table);
    const std::int64_t count = source.shape[0];
    const std::int64_t size = records.shape[0];
    Tensor result = allocate(context, dtype_, Shape{count, width_});
    const std::int64_t* rows = source.as<std::int64_t>();
    std::byte* to = result.data;
    for (std::int64_t i = 0; i < count; ++i) {
      std::int64_t row = rows[i * source.strides[0]];
      if (row < -size || row >= size) refuse_index(size, i);
      if (row < 0) row += size;
      if (bytes == 0) continue;
      std::memcpy(to, records.data + row * records.strides[0] + offset_,
                  static_cast<std::size_t>(bytes));
      to += bytes;
    }
    out[0].tensor = std::move(result);
  }

 private:
  std::int64_t offset_;
  std::int64_t width_;
  DType dtype_;
};

}  // namespace

std::span<const OpEntry> lookup_exact_ops() {
  static constexpr OpEntry kEntries[] = {{"pyrec.LookupExact", make_op<LookupExact>}};
  return kEntries;
}

}  // namespace pyrec
