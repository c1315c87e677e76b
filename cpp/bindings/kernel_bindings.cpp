#include "bindings/kernel_bindings.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dispatch/kernels.h"

namespace py = pybind11;

namespace pyrec {
namespace {

// One call of a kernel from Python: arrays are checked against what the kernel will touch, so that
// no call can read or write outside them.
class Call {
 public:
  Call(const Kernels& kernels, std::string name, const py::args& arguments, py::object out)
      : kernels(kernels), name_(std::move(name)), arguments_(arguments), out_(std::move(out)) {}

  const Kernels& kernels;

  void expect_arguments(std::size_t count) const {
    if (arguments_.size() != count) {
      fail("expected " + std::to_string(count) + " arguments, got " +
           std::to_string(arguments_.size()));
    }
  }

  py::object argument(std::size_t index) const { return arguments_[index]; }

  template <class T>
  py::array array(std::size_t index, py::ssize_t rank) const {
    return checked<T>(argument(index), rank, "argument " + std::to_string(index));
  }

  // A C-contiguous array of any rank.
  template <class T>
  py::array flat(std::size_t index) const {
    return contiguous(array<T>(index, -1), index);
  }

  template <class T>
  py::array flat(std::size_t index, py::ssize_t rank) const {
    return contiguous(array<T>(index, rank), index);
  }

  template <class T>
  std::optional<py::array> optional_vector(std::size_t index, py::ssize_t size) const {
    if (argument(index).is_none()) return std::nullopt;
    py::array vector = flat<T>(index, 1);
    expect(vector.size() == size, "argument " + std::to_string(index) + " has a wrong size");
    return vector;
  }

  // One row for all or each of the rows of a matrix.
  template <class T>
  std::optional<py::array> optional_rows(std::size_t index, py::ssize_t rows,
                                         py::ssize_t width) const {
    const bool matrix =
        py::isinstance<py::array>(argument(index)) && py::array(argument(index)).ndim() == 2;
    if (!matrix) return optional_vector<T>(index, width);
    py::array found = array<T>(index, 2);
    expect(found.shape(0) == rows && found.shape(1) == width,
           "argument " + std::to_string(index) + " has a wrong size");
    return found;
  }

  // The caller's output array, or a new one. Rows may be apart where the rank is 2.
  template <class T>
  py::array output(const std::vector<py::ssize_t>& shape) const {
    if (out_.is_none()) return py::array_t<T>(shape);
    py::array out = checked<T>(out_, static_cast<py::ssize_t>(shape.size()), "out");
    expect(out.writeable(), "out is read-only");
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
      expect(out.shape(static_cast<py::ssize_t>(axis)) == shape[axis], "out has a wrong shape");
    }
    return out;
  }

  template <class T>
  py::array flat_output(const std::vector<py::ssize_t>& shape) const {
    py::array out = output<T>(shape);
    expect((out.flags() & py::array::c_style) != 0, "out is not contiguous");
    return out;
  }

  // Elements between rows of a matrix whose rows are contiguous.
  std::size_t row_step(const py::array& matrix) const {
    const py::ssize_t item = matrix.itemsize();
    const py::ssize_t width = matrix.shape(1);
    if (matrix.size() == 0) return static_cast<std::size_t>(width);
    expect(width <= 1 || matrix.strides(1) == item, "a row is not contiguous");
    if (matrix.shape(0) == 1) return static_cast<std::size_t>(width);
    expect(matrix.strides(0) % item == 0 && matrix.strides(0) >= width * item, "rows overlap");
    return static_cast<std::size_t>(matrix.strides(0) / item);
  }

  void expect(bool condition, const std::string& problem) const {
    if (!condition) fail(problem);
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    throw py::value_error(name_ + ": " + problem);
  }

  template <class T>
  py::array checked(const py::object& object, py::ssize_t rank, const std::string& what) const {
    expect(py::isinstance<py::array>(object), what + " is not an array");
    py::array array = py::reinterpret_borrow<py::array>(object);
    expect(py::dtype::of<T>().is(array.dtype()) || py::dtype::of<T>().equal(array.dtype()),
           what + " has a wrong dtype");
    expect(rank < 0 || array.ndim() == rank, what + " has a wrong rank");
    expect(reinterpret_cast<std::uintptr_t>(array.data()) % alignof(T) == 0,
           what + " is not aligned");
    return array;
  }

  py::array contiguous(py::array array, std::size_t index) const {
    expect((array.flags() & py::array::c_style) != 0,
           "argument " + std::to_string(index) + " is not contiguous");
    return array;
  }

  std::string name_;
  const py::args& arguments_;
  py::object out_;
};

template <class T>
const T* data(const py::array& array) {
  return static_cast<const T*>(array.data());
}

template <class T>
const T* data(const std::optional<py::array>& array) {
  return array ? data<T>(*array) : nullptr;
}

template <class T>
T* mutable_data(py::array& array) {
  return static_cast<T*>(array.mutable_data());
}

std::size_t size_of(const py::array& array) { return static_cast<std::size_t>(array.size()); }
std::size_t size_of(const py::array& array, int axis) {
  return static_cast<std::size_t>(array.shape(axis));
}

std::vector<py::ssize_t> shape_of(const py::array& array) {
  return {array.shape(), array.shape() + array.ndim()};
}

// Kernels that map a contiguous array to one of the same size.
template <class From, class To>
py::object run_map(void (*kernel)(const From*, To*, std::size_t), const Call& call) {
  call.expect_arguments(1);
  const py::array x = call.flat<From>(0);
  py::array y = call.flat_output<To>(shape_of(x));
  kernel(data<From>(x), mutable_data<To>(y), size_of(x));
  return y;
}

// Operands of one element are repeated.
py::object run_binary(BinaryF32 kernel, const Call& call) {
  call.expect_arguments(2);
  const py::array a = call.flat<float>(0, 1);
  const py::array b = call.flat<float>(1, 1);
  const py::ssize_t n = a.size() == 1 ? b.size() : a.size();
  call.expect(b.size() == n || b.size() == 1, "sizes differ");
  py::array y = call.flat_output<float>({n});
  kernel(data<float>(a), a.size() == 1 ? 0 : 1, data<float>(b), b.size() == 1 ? 0 : 1,
         mutable_data<float>(y), static_cast<std::size_t>(n));
  return y;
}

py::object run_multiply_add(const Call& call) {
  call.expect_arguments(3);
  const py::array a = call.flat<float>(0, 1), b = call.flat<float>(1, 1),
                  c = call.flat<float>(2, 1);
  const py::ssize_t n = a.size() == 1 ? (b.size() == 1 ? c.size() : b.size()) : a.size();
  const auto step = [&](const py::array& x) -> std::size_t {
    call.expect(x.size() == n || x.size() == 1, "sizes differ");
    return x.size() == 1 ? 0 : 1;
  };
  py::array y = call.flat_output<float>({n});
  call.kernels.multiply_add_f32(data<float>(a), step(a), data<float>(b), step(b), data<float>(c),
                                step(c), mutable_data<float>(y), static_cast<std::size_t>(n));
  return y;
}

py::object run_reduce(ReduceF32 kernel, bool takes_empty, const Call& call) {
  call.expect_arguments(1);
  const py::array x = call.flat<float>(0);
  call.expect(takes_empty || x.size() > 0, "no elements");
  py::array_t<float> y(std::vector<py::ssize_t>{});
  *y.mutable_data() = kernel(data<float>(x), size_of(x));
  return y;
}

py::object run_rows(RowsF32 kernel, const Call& call) {
  call.expect_arguments(1);
  const py::array x = call.flat<float>(0, 2);
  py::array y = call.flat_output<float>(shape_of(x));
  kernel(data<float>(x), mutable_data<float>(y), size_of(x, 0), size_of(x, 1));
  return y;
}

py::object run_layer_normalization(const Call& call) {
  call.expect_arguments(4);
  const py::array x = call.flat<float>(0, 2);
  const auto gamma = call.optional_vector<float>(1, x.shape(1));
  const auto beta = call.optional_vector<float>(2, x.shape(1));
  py::array y = call.flat_output<float>(shape_of(x));
  call.kernels.layer_normalization_f32(data<float>(x), data<float>(gamma), data<float>(beta),
                                       py::cast<float>(call.argument(3)), mutable_data<float>(y),
                                       size_of(x, 0), size_of(x, 1));
  return y;
}

Activation activation_of(const Call& call, const std::string& name) {
  const std::map<std::string, Activation> names = {{"none", Activation::kNone},
                                                   {"relu", Activation::kRelu},
                                                   {"sigmoid", Activation::kSigmoid},
                                                   {"tanh", Activation::kTanh}};
  const auto found = names.find(name);
  call.expect(found != names.end(), "unknown activation");
  return found->second;
}

// Packs b, then multiplies.
py::object run_packed_gemm(const Call& call, PackedSizeF32 packed_size, PackF32 pack,
                           GemmF32 gemm) {
  call.expect_arguments(4);
  const py::array a = call.array<float>(0, 2);
  const py::array b = call.array<float>(1, 2);
  const std::size_t m = size_of(a, 0), k = size_of(a, 1), n = size_of(b, 1);
  call.expect(size_of(b, 0) == k, "the inner sizes differ");
  const py::ssize_t item = static_cast<py::ssize_t>(sizeof(float));
  call.expect(b.strides(0) % item == 0 && b.strides(0) >= 0 && b.strides(1) % item == 0 &&
                  b.strides(1) >= 0,
              "unusual strides");
  const auto bias = call.optional_rows<float>(2, a.shape(0), b.shape(1));
  const std::size_t bias_step = bias && bias->ndim() == 2 ? call.row_step(*bias) : 0;
  const Activation activation = activation_of(call, py::cast<std::string>(call.argument(3)));
  py::array c = call.output<float>({a.shape(0), b.shape(1)});
  const std::size_t lda = call.row_step(a), ldc = call.row_step(c);
  std::vector<float> packed(packed_size(k, n));
  pack(data<float>(b), k, n, static_cast<std::size_t>(b.strides(0) / item),
       static_cast<std::size_t>(b.strides(1) / item), packed.data());
  gemm(data<float>(a), lda, packed.data(), data<float>(bias), bias_step, activation,
       mutable_data<float>(c), ldc, m, n, k, nullptr);
  return c;
}

py::object run_gemm(const Call& call) {
  const Kernels& kernels = call.kernels;
  return run_packed_gemm(call, kernels.packed_size_f32, kernels.pack_f32, kernels.gemm_f32);
}

py::object run_gemm_sparse(const Call& call) {
  const Kernels& kernels = call.kernels;
  return run_packed_gemm(call, kernels.packed_size_sparse_f32, kernels.pack_sparse_f32,
                         kernels.gemm_sparse_f32);
}

// The order that an optional argument, a row, gives to rows of k numbers.
struct GivenOrder {
  GivenOrder(const Call& call, std::size_t index, std::size_t k)
      : row(call.optional_vector<float>(index, static_cast<py::ssize_t>(k))), order(row ? k : 0) {
    if (row) call.kernels.order_lanes(data<float>(*row), k, order.data());
  }
  const std::int32_t* data_or_null() const { return row ? order.data() : nullptr; }

  std::optional<py::array> row;
  std::vector<std::int32_t> order;
};

// A float32 matrix as the rows that a kernel makes of it, in the order of a row that may be given.
template <class T, class Kernel>
py::object run_rows_to(Kernel kernel, std::size_t width, const Call& call) {
  call.expect_arguments(2);
  const py::array x = call.array<float>(0, 2);
  const GivenOrder order(call, 1, size_of(x, 1));
  py::array rows = call.flat_output<T>({x.shape(0), static_cast<py::ssize_t>(width)});
  kernel(data<float>(x), call.row_step(x), size_of(x, 0), size_of(x, 1), order.data_or_null(),
         mutable_data<T>(rows));
  return rows;
}

py::object run_quantize_rows(const Call& call) {
  const std::size_t width = quantized_row_size(size_of(call.array<float>(0, 2), 1));
  const auto kernel = [&](const float* x, std::size_t ldx, std::size_t m, std::size_t k,
                          const std::int32_t* order, std::uint8_t* rows) {
    call.kernels.quantize_rows_u8(x, ldx, m, k, order, reinterpret_cast<std::byte*>(rows));
  };
  return run_rows_to<std::uint8_t>(kernel, width, call);
}

py::object run_round_rows(const Call& call) {
  const std::size_t width = rounded_row_size(size_of(call.array<float>(0, 2), 1));
  return run_rows_to<std::uint16_t>(call.kernels.round_rows_bf16, width, call);
}

using Runner = std::function<py::object(const Call&)>;

// What the products of lower precision take; the last argument may be a row in whose order they
// multiply.
struct NarrowOperands {
  explicit NarrowOperands(const Call& call)
      : a(call.array<float>(0, 2)),
        b(call.flat<float>(1, 2)),
        m(size_of(a, 0)),
        k(size_of(a, 1)),
        n(size_of(b, 1)),
        bias(call.optional_rows<float>(2, a.shape(0), b.shape(1))),
        bias_step(bias && bias->ndim() == 2 ? call.row_step(*bias) : 0),
        order(call, 4, k),
        c(call.output<float>({a.shape(0), b.shape(1)})) {
    call.expect_arguments(5);
    call.expect(size_of(b, 0) == k, "the inner sizes differ");
    const Activation activation = activation_of(call, py::cast<std::string>(call.argument(3)));
    call.expect(activation <= Activation::kRelu, "unknown activation");
    relu = activation == Activation::kRelu;
  }

  // Packs b.
  std::vector<std::byte> packed(PackedBytes size, PackBytes pack, ReorderBytes reorder) const {
    std::vector<std::byte> made(size(k, n));
    pack(data<float>(b), k, n, n, 1, made.data());
    if (!order.row) return made;
    std::vector<std::byte> reordered(made.size());
    reorder(made.data(), order.data_or_null(), k, n, reordered.data());
    return reordered;
  }

  py::array a, b;
  std::size_t m, k, n;
  std::optional<py::array> bias;
  std::size_t bias_step;
  GivenOrder order;
  py::array c;
  bool relu = false;
};

Runner gemm_u8s8_runner(PackBytes Kernels::* pack, GemmU8S8 Kernels::* gemm) {
  return [=](const Call& call) -> py::object {
    NarrowOperands with(call);
    const Kernels& kernels = call.kernels;
    const auto packed = with.packed(kernels.packed_size_s8, kernels.*pack, kernels.reorder_s8);
    std::vector<std::byte> rows(with.m * quantized_row_size(with.k));
    kernels.quantize_rows_u8(data<float>(with.a), call.row_step(with.a), with.m, with.k,
                             with.order.data_or_null(), rows.data());
    (kernels.*gemm)(rows.data(), packed.data(), data<float>(with.bias), with.bias_step, with.relu,
                    mutable_data<float>(with.c), call.row_step(with.c), with.m, with.n, with.k,
                    nullptr);
    return with.c;
  };
}

Runner gemm_bf16_runner(PackBytes Kernels::* pack, GemmBf16 Kernels::* gemm) {
  return [=](const Call& call) -> py::object {
    NarrowOperands with(call);
    const Kernels& kernels = call.kernels;
    const auto packed = with.packed(kernels.packed_size_bf16, kernels.*pack, kernels.reorder_bf16);
    std::vector<std::uint16_t> rows(with.m * rounded_row_size(with.k));
    kernels.round_rows_bf16(data<float>(with.a), call.row_step(with.a), with.m, with.k,
                            with.order.data_or_null(), rows.data());
    (kernels.*gemm)(rows.data(), packed.data(), data<float>(with.bias), with.bias_step, with.relu,
                    mutable_data<float>(with.c), call.row_step(with.c), with.m, with.n, with.k,
                    nullptr);
    return with.c;
  };
}

py::object run_gemm_i16(const Call& call) {
  call.expect_arguments(2);
  const py::array a = call.flat<std::int16_t>(0, 2);
  const py::array b = call.flat<std::int16_t>(1, 2);
  const std::size_t m = size_of(a, 0), k = size_of(a, 1), n = size_of(b, 1);
  call.expect(size_of(b, 0) == k, "the inner sizes differ");
  py::array c = call.flat_output<std::int32_t>({a.shape(0), b.shape(1)});
  std::vector<std::int16_t> packed(call.kernels.packed_size_i16(k, n));
  call.kernels.pack_i16(data<std::int16_t>(b), k, n, packed.data());
  call.kernels.gemm_i16(data<std::int16_t>(a), packed.data(), mutable_data<std::int32_t>(c), m, n,
                        k);
  return c;
}

void expect_rows(const Call& call, const py::array& rows, const py::array& table) {
  const std::int64_t* begin = data<std::int64_t>(rows);
  call.expect(std::all_of(begin, begin + rows.size(),
                          [&](std::int64_t row) { return row >= 0 && row < table.shape(0); }),
              "a row is not in the table");
}

py::array checked_rows(const Call& call, const py::array& table) {
  const py::array rows = call.flat<std::int64_t>(1, 1);
  expect_rows(call, rows, table);
  return rows;
}

py::object run_gather_rows(const Call& call) {
  call.expect_arguments(2);
  const py::array table = call.flat<float>(0, 2);
  const py::array rows = checked_rows(call, table);
  py::array out = call.output<float>({rows.size(), table.shape(1)});
  const std::size_t out_step = call.row_step(out);
  call.kernels.gather_rows_f32(data<float>(table), size_of(table, 1), data<std::int64_t>(rows),
                               size_of(rows), mutable_data<float>(out), out_step);
  return out;
}

py::object run_bag_sum(const Call& call) {
  call.expect_arguments(3);
  const py::array table = call.flat<float>(0, 2);
  const py::array rows = checked_rows(call, table);
  const auto weights = call.optional_vector<float>(2, rows.size());
  py::array out = call.flat_output<float>({table.shape(1)});
  call.kernels.bag_sum_f32(data<float>(table), size_of(table, 1), data<std::int64_t>(rows),
                           data<float>(weights), size_of(rows), mutable_data<float>(out));
  return out;
}

// The parts of a lookup: tuples of a table (a matrix of float32 or bytes), the first byte to read
// of each row, row numbers or None, a width and a codec. Every part gives `n` rows.
struct Lookups {
  Lookups(const Call& call, std::size_t index, std::size_t n) {
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

  std::list<py::args> args;
  std::vector<LookupPart> parts;
  std::size_t width = 0;
  std::size_t size = 0;  // rows of the last table
};

py::object run_lookup(const Call& call) {
  call.expect_arguments(2);
  const auto n = py::cast<std::size_t>(call.argument(1));
  const Lookups lookups(call, 0, n);
  py::array out =
      call.output<float>({static_cast<py::ssize_t>(n), static_cast<py::ssize_t>(lookups.width)});
  const std::size_t out_step = call.row_step(out);
  call.kernels.lookup_f32(lookups.parts.data(), lookups.parts.size(), n, mutable_data<float>(out),
                          out_step);
  return out;
}

py::object run_embedding_bag(const Call& call) {
  call.expect_arguments(7);
  const Lookups table(call, 0, 0);
  const py::array ids = call.flat<std::int64_t>(1, 1), bounds = call.flat<std::int64_t>(2, 2);
  const auto weights = call.optional_vector<float>(3, ids.size());
  const std::string mode = py::cast<std::string>(call.argument(4));
  const py::object padding = call.argument(5);
  Bags bags{};
  bags.part = table.parts.at(0);
  bags.size = table.size;
  bags.ids = data<std::int64_t>(ids);
  bags.given = ids.size();
  bags.wrap = table.size;
  bags.weights = data<float>(weights);
  bags.bounds = data<std::int64_t>(bounds);
  bags.count = size_of(bounds, 0);
  call.expect(bounds.shape(1) == 2, "bounds are pairs");
  for (std::size_t i = 0; i < bags.count; ++i) {
    const std::int64_t start = bags.bounds[2 * i], end = bags.bounds[2 * i + 1];
    call.expect(0 <= start && start <= end && end <= ids.size(), "a bag is not among the ids");
  }
  const bool weighted = py::cast<bool>(call.argument(6));
  bags.mode = mode == "sum"   ? BagMode::kSum
              : mode == "max" ? BagMode::kMax
              : weighted      ? BagMode::kWeightedMean
                              : BagMode::kMean;
  bags.padded = !padding.is_none();
  if (bags.padded) bags.padding[0] = bags.padding[1] = py::cast<std::int64_t>(padding);
  py::array out = call.output<float>({bounds.shape(0), static_cast<py::ssize_t>(bags.part.width)});
  const std::size_t out_step = call.row_step(out);
  const std::int64_t wrong =
      call.kernels.embedding_bag_f32(bags, mutable_data<float>(out), out_step);
  call.expect(wrong < 0, "id " + std::to_string(wrong) + " is outside the table");
  return out;
}

// What sums of parts take: a bias, the parts, the number of rows, their width and an activation.
struct LookupSumOperands {
  explicit LookupSumOperands(const Call& call)
      : n(py::cast<std::size_t>(call.argument(2))),
        width(py::cast<std::size_t>(call.argument(3))),
        lookups(call, 1, n),
        bias(call.optional_rows<float>(0, static_cast<py::ssize_t>(n),
                                       static_cast<py::ssize_t>(width))),
        bias_step(bias && bias->ndim() == 2 ? call.row_step(*bias) : 0),
        activation(activation_of(call, py::cast<std::string>(call.argument(4)))) {
    for (const LookupPart& part : lookups.parts) {
      call.expect(part.width == width, "expected parts of one width");
    }
  }

  std::size_t n, width;
  Lookups lookups;
  std::optional<py::array> bias;
  std::size_t bias_step;
  Activation activation;
};

py::object run_lookup_sum(const Call& call) {
  call.expect_arguments(5);
  const LookupSumOperands sum(call);
  py::array out =
      call.output<float>({static_cast<py::ssize_t>(sum.n), static_cast<py::ssize_t>(sum.width)});
  const std::size_t out_step = call.row_step(out);
  call.kernels.lookup_sum_f32(data<float>(sum.bias), sum.bias_step, sum.lookups.parts.data(),
                              sum.lookups.parts.size(), sum.activation, sum.n, sum.width,
                              mutable_data<float>(out), out_step);
  return out;
}

py::object run_lookup_sum_bf16(const Call& call) {
  call.expect_arguments(6);
  const LookupSumOperands sum(call);
  call.expect(sum.activation <= Activation::kRelu, "unknown activation");
  const GivenOrder order(call, 5, sum.width);
  const auto step = static_cast<py::ssize_t>(rounded_row_size(sum.width));
  py::array rows = call.flat_output<std::uint16_t>({static_cast<py::ssize_t>(sum.n), step});
  call.kernels.lookup_sum_bf16(data<float>(sum.bias), sum.bias_step, sum.lookups.parts.data(),
                               sum.lookups.parts.size(), sum.activation == Activation::kRelu, sum.n,
                               sum.width, order.data_or_null(), mutable_data<std::uint16_t>(rows));
  return rows;
}

py::object run_lookup_sum_u8(const Call& call) {
  call.expect_arguments(6);
  const LookupSumOperands sum(call);
  call.expect(sum.activation <= Activation::kRelu, "unknown activation");
  const GivenOrder order(call, 5, sum.width);
  const auto step = static_cast<py::ssize_t>(quantized_row_size(sum.width));
  py::array rows = call.flat_output<std::uint8_t>({static_cast<py::ssize_t>(sum.n), step});
  std::vector<float> scratch(sum.width);
  call.kernels.lookup_sum_u8(data<float>(sum.bias), sum.bias_step, sum.lookups.parts.data(),
                             sum.lookups.parts.size(), sum.activation == Activation::kRelu, sum.n,
                             sum.width, order.data_or_null(), scratch.data(),
                             reinterpret_cast<std::byte*>(mutable_data<std::uint8_t>(rows)));
  return rows;
}

// a [n or 1, p, d] and b [n or 1, q, d]; left and right are numbers of vectors.
py::object run_pair_dots(const Call& call) {
  call.expect_arguments(4);
  const py::array a = call.flat<float>(0, 3), b = call.flat<float>(1, 3);
  const py::array left = call.flat<std::int64_t>(2, 1), right = call.flat<std::int64_t>(3, 1);
  const py::ssize_t n = a.shape(0) == 1 ? b.shape(0) : a.shape(0);
  call.expect((b.shape(0) == n || b.shape(0) == 1) && a.shape(2) == b.shape(2) &&
                  left.size() == right.size(),
              "sizes differ");
  const auto offsets = [&](const py::array& chosen, const py::array& vectors) {
    std::vector<std::int64_t> result(data<std::int64_t>(chosen),
                                     data<std::int64_t>(chosen) + chosen.size());
    for (std::int64_t& number : result) {
      call.expect(number >= 0 && number < vectors.shape(1), "no such vector");
      number *= vectors.shape(2);
    }
    return result;
  };
  const std::vector<std::int64_t> lefts = offsets(left, a), rights = offsets(right, b);
  const auto step = [&](const py::array& x) {
    return x.shape(0) == 1 ? 0 : size_of(x, 1) * size_of(x, 2);
  };
  py::array out = call.flat_output<float>({n, left.size()});
  call.kernels.pair_dots_f32(data<float>(a), step(a), data<float>(b), step(b), lefts.data(),
                             rights.data(), lefts.size(), size_of(a, 2),
                             static_cast<std::size_t>(n), mutable_data<float>(out));
  return out;
}

// The way to call each type of kernel. Kernels without one (sizes, packing) run inside others.
Runner runner(UnaryF32 Kernels::* kernel) {
  return [=](const Call& call) { return run_map(call.kernels.*kernel, call); };
}
Runner runner(HalfToF32 Kernels::* kernel) {
  return [=](const Call& call) { return run_map(call.kernels.*kernel, call); };
}
Runner runner(F32ToHalf Kernels::* kernel) {
  return [=](const Call& call) { return run_map(call.kernels.*kernel, call); };
}
Runner runner(BinaryF32 Kernels::* kernel) {
  return [=](const Call& call) { return run_binary(call.kernels.*kernel, call); };
}
Runner runner(MultiplyAddF32 Kernels::*) { return run_multiply_add; }
Runner runner(ReduceF32 Kernels::* kernel) {
  const bool takes_empty = kernel != &Kernels::max_f32 && kernel != &Kernels::min_f32;
  return [=](const Call& call) { return run_reduce(call.kernels.*kernel, takes_empty, call); };
}
Runner runner(RowsF32 Kernels::* kernel) {
  return [=](const Call& call) { return run_rows(call.kernels.*kernel, call); };
}
Runner runner(LayerNormalizationF32 Kernels::*) { return run_layer_normalization; }
Runner runner(GemmF32 Kernels::* field) {
  return field == &Kernels::gemm_sparse_f32 ? run_gemm_sparse : run_gemm;
}
Runner runner(GemmI16 Kernels::*) { return run_gemm_i16; }
Runner runner(GatherRowsF32 Kernels::*) { return run_gather_rows; }
Runner runner(BagSumF32 Kernels::*) { return run_bag_sum; }
Runner runner(LookupF32 Kernels::*) { return run_lookup; }
Runner runner(LookupSumF32 Kernels::*) { return run_lookup_sum; }
Runner runner(LookupSumBf16 Kernels::*) { return run_lookup_sum_bf16; }
Runner runner(LookupSumU8 Kernels::*) { return run_lookup_sum_u8; }
Runner runner(EmbeddingBagF32 Kernels::*) { return run_embedding_bag; }
Runner runner(PairDotsF32 Kernels::*) { return run_pair_dots; }
Runner runner(PackedSizeF32 Kernels::*) { return nullptr; }
Runner runner(PackF32 Kernels::*) { return nullptr; }
Runner runner(PackI16 Kernels::*) { return nullptr; }
Runner runner(QuantizeRowsU8 Kernels::*) { return run_quantize_rows; }
Runner runner(RoundRowsBf16 Kernels::*) { return run_round_rows; }
Runner runner(GemmU8S8 Kernels::* field) {
  const bool sparse = field == &Kernels::gemm_sparse_u8s8;
  return gemm_u8s8_runner(sparse ? &Kernels::pack_sparse_s8 : &Kernels::pack_s8, field);
}
Runner runner(GemmBf16 Kernels::* field) {
  const bool sparse = field == &Kernels::gemm_sparse_bf16;
  return gemm_bf16_runner(sparse ? &Kernels::pack_sparse_bf16 : &Kernels::pack_bf16, field);
}
Runner runner(PackBytes Kernels::*) { return nullptr; }
Runner runner(OrderLanes Kernels::*) { return nullptr; }
Runner runner(ReorderBytes Kernels::*) { return nullptr; }

const std::map<std::string, Runner>& runners() {
  static const std::map<std::string, Runner> all = [] {
    std::map<std::string, Runner> map;
#define PYREC_RUNNER(name, type) map[#name] = runner(&Kernels::name);
    PYREC_KERNELS(PYREC_RUNNER)
#undef PYREC_RUNNER
    std::erase_if(map, [](const auto& entry) { return !entry.second; });
    return map;
  }();
  return all;
}

py::object run_kernel(const std::string& isa, const std::string& name, const py::args& arguments,
                      py::object out) {
  const Kernels* kernels = find_kernels(isa);
  if (kernels == nullptr) throw py::value_error("no such ISA here: " + isa);
  const auto found = runners().find(name);
  if (found == runners().end()) throw py::value_error("no such kernel: " + name);
  return found->second(Call(*kernels, name, arguments, std::move(out)));
}

std::vector<std::string> kernel_backends() {
  std::vector<std::string> names;
  for (const Kernels* kernels : available_kernels()) names.emplace_back(kernels->isa);
  return names;
}

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const auto& entry : runners()) names.push_back(entry.first);
  return names;
}

std::vector<std::string> names_of_codecs() { return {codec_names().begin(), codec_names().end()}; }

py::dict features() {
  const CpuFeatures& cpu = cpu_features();
  py::dict result;
  result["avx2"] = cpu.avx2;
  result["avx512"] = cpu.avx512;
  result["avx512_bf16"] = cpu.avx512_bf16;
  result["avx512_vnni"] = cpu.avx512_vnni;
  return result;
}

}  // namespace

void bind_kernels(py::module_& module) {
  module.def("kernel_backends", &kernel_backends,
             "ISAs of this build that this CPU can run, best first.");
  module.def("kernel_names", &kernel_names, "Kernels that run_kernel can run.");
  module.def("codec_names", &names_of_codecs, "Codecs of rows that kernels read.");
  module.def("cpu_features", &features, "Instruction sets of this CPU that kernels can use.");
  module.def("run_kernel", &run_kernel,
             "Run one kernel on contiguous arrays, into `out` or a new array. For tests.",
             py::arg("isa"), py::arg("name"), py::arg("out") = py::none());
}

}  // namespace pyrec
