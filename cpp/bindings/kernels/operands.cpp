#include "bindings/kernels/operands.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

namespace pyrec {

void expect_rows(const Call& call, const py::array& rows, const py::array& table) {
  const std::int64_t* begin = data<std::int64_t>(rows);
  call.expect(std::all_of(begin, begin + rows.size(),
                          [&](std::int64_t row) { return row >= 0 && row < table.shape(0); }),
              "a row is not in the table");
}

LookupOperands::LookupOperands(const Call& call, std::size_t index, std::size_t n) {
  for (const py::handle& item : py::cast<py::tuple>(call.argument(index))) {
    const auto fields = py::cast<py::tuple>(item);
    call.expect(fields.size() == 5, "expected parts of five fields");
    const Call inner(call.kernels, "part", args.emplace_back(fields), py::none());
    const bool bytes = py::array(fields[0]).dtype().equal(py::dtype::of<std::uint8_t>());
    const py::array table = bytes ? inner.array<std::uint8_t>(0, 2) : inner.array<float>(0, 2);
    const std::size_t item_size = static_cast<std::size_t>(table.itemsize());
    const std::size_t stride = inner.row_step(table) * item_size;
    const std::size_t offset = py::cast<std::size_t>(fields[1]);
    const auto codec = find_codec(py::cast<std::string>(fields[4]));
    LookupPart part{};
    part.width = py::cast<std::size_t>(fields[3]);
    call.expect(codec.has_value(), "unknown codec");
    part.codec = *codec;
    const std::size_t end = offset + row_bytes(*codec, part.width);
    call.expect(end <= size_of(table, 1) * item_size, "a row is too short");
    call.expect(offset % 4 == 0 && stride % 4 == 0 &&
                    reinterpret_cast<std::uintptr_t>(table.data()) % 4 == 0,
                "a row is not aligned");
    part.table = data<unsigned char>(table) + offset;
    part.stride = stride;
    part.far = size_of(table, 0) % 2 == 1;  // either way gives the same result
    if (fields[2].is_none()) {
      call.expect(size_of(table, 0) >= n, "the table has too few rows");
    } else {
      const py::array rows = inner.flat<std::int64_t>(2, 1);
      call.expect(size_of(rows) == n, "sizes differ");
      expect_rows(call, rows, table);
      part.rows = data<std::int64_t>(rows);
    }
    width += part.width;
    size = size_of(table, 0);
    parts.push_back(part);
  }
}

GivenOrder::GivenOrder(const Call& call, std::size_t index, std::size_t k)
    : row(call.optional_vector<float>(index, static_cast<py::ssize_t>(k))), order(row ? k : 0) {
  if (row) call.kernels.order_lanes(data<float>(*row), k, order.data());
}

}  // namespace pyrec
