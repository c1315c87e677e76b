#include "plan/tensor_tools.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>

#include "plan/convert.h"

namespace pyrec {

namespace {

template <class T>
void copy_run(const T* from, std::int64_t from_step, T* to, std::int64_t to_step, std::int64_t n) {
  if (from_step == 1 && to_step == 1) {
    if (n < 8) {
      for (std::int64_t i = 0; i < n; ++i) to[i] = from[i];
    } else {
      std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
    }
  } else if (from_step == 0 && to_step == 1) {
    std::fill_n(to, n, *from);
  } else {
    for (std::int64_t i = 0; i < n; ++i) to[i * to_step] = from[i * from_step];
  }
}

// Linux grants far more than there is, and ends the process when it is touched.
std::size_t physical_memory() {
  static const std::size_t bytes = [] {
    const long pages = sysconf(_SC_PHYS_PAGES);
    const long page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? static_cast<std::size_t>(pages) * static_cast<std::size_t>(page)
                                 : std::numeric_limits<std::size_t>::max();
  }();
  return bytes;
}

[[noreturn]] void refuse_size(const Shape& shape) {
  throw OpError(ErrorKind::kMemory,
                "a tensor of shape " + describe(shape) + " does not fit this machine's memory");
}

}  // namespace

std::int64_t checked_elements(const Shape& shape) {
  constexpr std::int64_t kMaxElements = std::int64_t{1} << 48;
  std::int64_t elements = 1;
  bool empty = false;
  for (std::int64_t size : shape) {
    if (size < 0) throw OpError(ErrorKind::kShape, "negative size in shape " + describe(shape));
    if (size == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(elements, size, &elements) || elements > kMaxElements) {
      throw OpError(ErrorKind::kMemory, "a tensor of shape " + describe(shape) + " is too big");
    }
  }
  return empty ? 0 : elements;
}

std::size_t checked_bytes(DType dtype, const Shape& shape) {
  const std::size_t bytes = static_cast<std::size_t>(checked_elements(shape)) * item_size(dtype);
  if (bytes > physical_memory()) refuse_size(shape);
  return bytes;
}

Tensor allocate(Context& context, DType dtype, const Shape& shape) {
  const std::size_t bytes = checked_bytes(dtype, shape);
  Tensor tensor;
  try {
    tensor.owner = context.arena.allocate(bytes);
  } catch (const std::bad_alloc&) {
    refuse_size(shape);
  }
  tensor.data = tensor.owner.get()->data();
  tensor.dtype = dtype;
  tensor.shape = shape;
  tensor.strides = contiguous_strides(shape);
  return tensor;
}

Tensor made_where_offered(Context& context, const Value& out, DType dtype, const Shape& shape) {
  const Tensor& offered = out.tensor;
  const bool fits = offered.data && offered.dtype == dtype && offered.shape == shape;
  return fits ? offered : allocate(context, dtype, shape);
}

Tensor view(const Tensor& tensor, const Shape& shape, const Shape& strides,
            std::int64_t offset_elements) {
  const std::int64_t offset = offset_elements * static_cast<std::int64_t>(item_size(tensor.dtype));
  // A null pointer takes no offset but 0.
  return {offset == 0 ? tensor.data : tensor.data + offset, tensor.dtype, shape, strides,
          tensor.owner};
}

Tensor contiguous(Context& context, const Tensor& tensor) {
  if (tensor.contiguous()) return tensor;
  Tensor copy = allocate(context, tensor.dtype, tensor.shape);
  copy_elements(tensor, copy);
  return copy;
}

void copy_elements(const Tensor& from, const Tensor& to) {
  const std::int64_t elements = from.elements();
  if (elements == 0) return;
  if (from.contiguous() && to.contiguous()) {
    const std::size_t bytes = static_cast<std::size_t>(elements) * item_size(from.dtype);
    in_parts(bytes, kWatchedElements * sizeof(double), [&](std::size_t begin, std::size_t count) {
      std::memcpy(to.data + begin, from.data + begin, count);
    });
    return;
  }
  Shape shape = from.shape;
  std::array<Shape, 2> strides{from.strides, to.strides};
  coalesce(shape, strides);
  const int inner = shape.rank() - 1;
  const std::int64_t n = shape[inner];
  const std::int64_t from_step = strides[0][inner];
  const std::int64_t to_step = strides[1][inner];
  dispatch_size(from.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* source = from.as<T>();
    T* target = to.as<T>();
    for_each_outer(shape, 1, strides, [&](std::int64_t a, std::int64_t b) {
      copy_run(source + a, from_step, target + b, to_step, n);
    });
  });
}

Shape broadcast_shapes(const Shape& a, const Shape& b) {
  const Shape& longer = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  Shape result = longer;
  const int lead = longer.rank() - shorter.rank();
  for (int axis = lead; axis < longer.rank(); ++axis) {
    const std::int64_t x = longer[axis];
    const std::int64_t y = shorter[axis - lead];
    if (x != y && x != 1 && y != 1) {
      throw OpError(ErrorKind::kShape,
                    "shapes " + describe(a) + " and " + describe(b) + " do not broadcast");
    }
    result[axis] = x == 1 ? y : x;
  }
  return result;
}

Tensor broadcast_to(const Tensor& tensor, const Shape& target) {
  const int lead = target.rank() - tensor.rank();
  Shape strides = target;
  bool fits = lead >= 0;
  for (int axis = 0; fits && axis < target.rank(); ++axis) {
    if (axis < lead) {
      strides[axis] = 0;
    } else if (tensor.shape[axis - lead] == target[axis]) {
      strides[axis] = tensor.strides[axis - lead];
    } else if (tensor.shape[axis - lead] == 1) {
      strides[axis] = 0;
    } else {
      fits = false;
    }
  }
  if (!fits) {
    throw OpError(ErrorKind::kShape,
                  "shape " + describe(tensor.shape) + " does not broadcast to " + describe(target));
  }
  return view(tensor, target, strides);
}

int normalize_axis(std::int64_t axis, int rank) {
  if (axis < -rank || axis >= rank) {
    throw OpError(ErrorKind::kShape,
                  "axis " + std::to_string(axis) + " of a value of rank " + std::to_string(rank));
  }
  return static_cast<int>(axis < 0 ? axis + rank : axis);
}

std::vector<std::int64_t> read_integers(const Tensor& tensor) {
  if (tensor.dtype != DType::kInt32 && tensor.dtype != DType::kInt64) {
    throw OpError(ErrorKind::kDType,
                  std::string("expected int32 or int64, got ") + dtype_name(tensor.dtype));
  }
  std::vector<std::int64_t> result;
  result.reserve(static_cast<std::size_t>(tensor.elements()));
  for_each_outer(tensor.shape, 0, std::array{tensor.strides}, [&](std::int64_t offset) {
    result.push_back(tensor.dtype == DType::kInt32 ? tensor.as<std::int32_t>()[offset]
                                                   : tensor.as<std::int64_t>()[offset]);
  });
  return result;
}

namespace {

template <class To>
To read_one(const Tensor& tensor) {
  if (tensor.elements() != 1) {
    throw OpError(ErrorKind::kShape, "expected one element, got shape " + describe(tensor.shape));
  }
  return dispatch(tensor.dtype, [&](auto tag) {
    using T = typename decltype(tag)::type;
    return convert_element<To>(*tensor.as<T>());
  });
}

}  // namespace

double read_scalar(const Tensor& tensor) { return read_one<double>(tensor); }

std::int64_t read_integer(const Tensor& tensor) { return read_one<std::int64_t>(tensor); }

std::string whole_numbers_rule(DType dtype, bool missing, const std::string& reason) {
  const std::string held =
      missing ? "" : std::string(" that ") + dtype_name(dtype) + " holds exactly";
  return "expected whole numbers" + held + reason + ", got " +
         (missing ? "a missing value, NaN" : "one that is not");
}

void refuse_missing(std::size_t index) {
  throw OpError(ErrorKind::kModel, "input " + std::to_string(index) + " is missing");
}

void refuse_sequence(std::size_t index) {
  throw OpError(ErrorKind::kModel,
                "input " + std::to_string(index) + ": expected a tensor, got a sequence");
}

std::string describe(const Shape& shape) {
  std::string text = "[";
  for (int axis = 0; axis < shape.rank(); ++axis) {
    if (axis > 0) text += ", ";
    text += std::to_string(shape[axis]);
  }
  return text + "]";
}

DType dtype_from_name(const std::string& name) {
  for (int number = 0; number <= static_cast<int>(DType::kText); ++number) {
    const auto dtype = static_cast<DType>(number);
    if (name == dtype_name(dtype)) return dtype;
  }
  throw OpError(ErrorKind::kDType, "unknown element type " + name);
}

Tensor cast(Context& context, const Tensor& tensor, DType to) {
  if (tensor.dtype == to) return tensor;
  const Tensor source = contiguous(context, tensor);
  Tensor result = allocate(context, to, tensor.shape);
  const auto n = static_cast<std::size_t>(source.elements());
  if (n == 0) return result;
  if (source.dtype == DType::kFloat16 && to == DType::kFloat32) {
    in_parts(n, kWatchedElements, [&](std::size_t begin, std::size_t count) {
      context.kernels.half_to_f32(source.as<std::uint16_t>() + begin, result.as<float>() + begin,
                                  count);
    });
    return result;
  }
  if (source.dtype == DType::kFloat32 && to == DType::kFloat16) {
    in_parts(n, kWatchedElements, [&](std::size_t begin, std::size_t count) {
      context.kernels.f32_to_half(source.as<float>() + begin, result.as<std::uint16_t>() + begin,
                                  count);
    });
    return result;
  }
  dispatch(source.dtype, [&](auto from_tag) {
    using From = typename decltype(from_tag)::type;
    dispatch(to, [&](auto to_tag) {
      using To = typename decltype(to_tag)::type;
      const From* x = source.as<From>();
      To* y = result.as<To>();
      in_parts(n, kWatchedElements, [&](std::size_t begin, std::size_t count) {
        for (std::size_t i = begin; i < begin + count; ++i) y[i] = convert_element<To>(x[i]);
      });
    });
  });
  return result;
}

}  // namespace pyrec
