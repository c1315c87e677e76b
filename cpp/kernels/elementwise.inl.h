#pragma once

// Element-by-element kernels that round once or not at all. Include after one simd/vec_*.h.

namespace pyrec {
namespace {

template <class Function>
inline void map(const float* x, float* y, std::size_t n, Function function) {
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) store(y + i, function(load(x + i)));
  if (i < n) store_first(y + i, function(load_first(x + i, n - i)), n - i);
}

template <class Function>
inline void map(const float* a, std::size_t a_step, const float* b, std::size_t b_step, float* y,
                std::size_t n, Function function) {
  if (n == 0) return;
  if (a_step != 0 && b_step != 0) {
    std::size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(y + i, function(load(a + i), load(b + i)));
    if (i < n) {
      store_first(y + i, function(load_first(a + i, n - i), load_first(b + i, n - i)), n - i);
    }
  } else if (a_step != 0) {
    map(a, y, n, [=, right = broadcast(*b)](VecF left) { return function(left, right); });
  } else if (b_step != 0) {
    map(b, y, n, [=, left = broadcast(*a)](VecF right) { return function(left, right); });
  } else {
    const VecF value = function(broadcast(*a), broadcast(*b));
    std::size_t i = 0;
    for (; i + kLanes <= n; i += kLanes) store(y + i, value);
    if (i < n) store_first(y + i, value, n - i);
  }
}

constexpr std::uint32_t kSignBit = 0x80000000u;

inline VecF absolute(VecF x) { return from_bits(bits(x) & ~kSignBit); }
inline VecF with_sign_of(VecF magnitude, VecF sign) {
  return from_bits(bits(magnitude) | (bits(sign) & kSignBit));
}
// NaN if either is NaN.
inline VecF maximum(VecF a, VecF b) { return select(is_nan(a), a, max(a, b)); }
inline VecF minimum(VecF a, VecF b) { return select(is_nan(a), a, min(a, b)); }

#define PYREC_UNARY(name, expression)                           \
  void name(const float* input, float* output, std::size_t n) { \
    map(input, output, n, [](VecF x) { return expression; });   \
  }
PYREC_UNARY(abs_f32, absolute(x))
PYREC_UNARY(negative_f32, from_bits(bits(x) ^ kSignBit))
PYREC_UNARY(sqrt_f32, sqrt(x))
PYREC_UNARY(reciprocal_f32, 1.0f / x)
PYREC_UNARY(floor_f32, floor(x))
PYREC_UNARY(ceil_f32, ceil(x))
PYREC_UNARY(round_f32, round(x))
PYREC_UNARY(relu_f32, max(VecF{}, x))

#define PYREC_BINARY(name, expression)                                                             \
  void name(const float* left, std::size_t left_step, const float* right, std::size_t right_step,  \
            float* output, std::size_t n) {                                                        \
    map(left, left_step, right, right_step, output, n, [](VecF a, VecF b) { return expression; }); \
  }
PYREC_BINARY(add_f32, a + b)
PYREC_BINARY(subtract_f32, a - b)
PYREC_BINARY(multiply_f32, a* b)
PYREC_BINARY(divide_f32, a / b)
PYREC_BINARY(maximum_f32, maximum(a, b))
PYREC_BINARY(minimum_f32, minimum(a, b))
#undef PYREC_BINARY

void multiply_add_f32(const float* a, std::size_t a_step, const float* b, std::size_t b_step,
                      const float* c, std::size_t c_step, float* y, std::size_t n) {
  if (n == 0) return;
  const auto reader = [](const float* p, std::size_t step) {
    return [=, same = broadcast(*p)](std::size_t i, std::size_t count) {
      if (step == 0) return same;
      return count == kLanes ? load(p + i) : load_first(p + i, count);
    };
  };
  const auto left = reader(a, a_step), right = reader(b, b_step), addend = reader(c, c_step);
  std::size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    store(y + i, multiply_add(left(i, kLanes), right(i, kLanes), addend(i, kLanes)));
  }
  if (i < n) {
    const std::size_t count = n - i;
    store_first(y + i, multiply_add(left(i, count), right(i, count), addend(i, count)), count);
  }
}

}  // namespace
}  // namespace pyrec
