#pragma once

// The codecs over the vector vocabulary that was included before. A codec is a struct with a name,
// the bytes of a row, and a Reader of its numbers, made of a row (aligned to 4 bytes, or to its
// elements where they are all of it) and its width, and encodes rows as the reference in Python
// does. A Reader reads a vector, or the first numbers of one and then zeros, or adds them to a sum;
// it gives the first number, and skips some.

#include "codecs/bf16.h"
#include "codecs/codec.h"
#include "codecs/f16.h"
#include "codecs/f32.h"
#include "codecs/i8.h"

namespace pyrec {
namespace {

// Sums that are visited stay in registers only if the visit is inlined. Builds without optimisation
// would keep a table of exceptions for it.
#ifdef __OPTIMIZE__
#define PYREC_ALWAYS_INLINE [[gnu::always_inline]]
#else
#define PYREC_ALWAYS_INLINE
#endif

// visit(the codec's struct), the only switch on a codec.
template <class Visit>
PYREC_ALWAYS_INLINE inline auto with_codec(Codec codec, const Visit& visit) {
  switch (codec) {
#define PYREC_VISIT_CODEC(name) \
  case Codec::k##name:          \
    return visit(name{});
    PYREC_CODECS(PYREC_VISIT_CODEC)
#undef PYREC_VISIT_CODEC
  }
  __builtin_unreachable();
}
#undef PYREC_ALWAYS_INLINE

}  // namespace
}  // namespace pyrec
