#include "plan/ops/table_part.h"

#include "plan/ops/dense.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

constexpr std::int64_t kNearBytes = std::int64_t{1} << 18;  // tables of this size stay in cache
constexpr std::int64_t kMostBytes = std::int64_t{1} << 40;

}  // namespace

std::int64_t TablePart::end(bool records) const {
  const std::size_t bytes = row_bytes(records ? codec : Codec::kF32, unsigned_size(width));
  return offset + static_cast<std::int64_t>(bytes);
}

Codec codec_of(const std::string& name) {
  if (name.empty()) return Codec::kF32;
  if (const auto found = find_codec(name)) return *found;
  throw OpError(ErrorKind::kUnsupported, "codec '" + name + "'");
}

void require_sizes(std::int64_t offset, std::int64_t width) {
  if (offset >= 0 && offset <= kMostBytes && width >= 0 && width <= kMostBytes) return;
  throw OpError(ErrorKind::kModel, "expected offsets and widths of at least 0");
}

void require_table(const TablePart& part, const Tensor& table) {
  const bool records = table.dtype == DType::kUint8;
  if (!records && table.dtype != DType::kFloat32) {
    throw OpError(ErrorKind::kDType, std::string("lookup of type ") + dtype_name(table.dtype));
  }
  const auto item = static_cast<std::int64_t>(item_size(table.dtype));
  if (table.rank() != 2 || part.end(records) > table.shape[1] * item) {
    throw OpError(ErrorKind::kShape, "expected a table of rows of at least " +
                                         std::to_string(part.end(records)) + " bytes, got shape " +
                                         describe(table.shape));
  }
}

LookupPart part_of_table(const TablePart& part, const Tensor& table) {
  const std::int64_t stride = table.strides[0] * static_cast<std::int64_t>(item_size(table.dtype));
  if (stride % 4 != 0 || part.offset % 4 != 0 ||
      reinterpret_cast<std::uintptr_t>(table.data) % 4 != 0) {
    throw OpError(ErrorKind::kUnsupported, "expected records aligned to 4 bytes");
  }
  LookupPart found{};
  found.table = reinterpret_cast<const unsigned char*>(table.data) + part.offset;
  found.stride = unsigned_size(stride);
  found.width = unsigned_size(part.width);
  found.codec = table.dtype == DType::kUint8 ? part.codec : Codec::kF32;
  found.far = table.shape[0] > kNearBytes / (stride + 1);
  return found;
}

}  // namespace pyrec
