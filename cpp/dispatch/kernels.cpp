#include "dispatch/kernels.h"

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include "dispatch/cpu.h"

namespace pyrec {

extern const Kernels kScalarKernels;
#ifdef PYREC_X86
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx2VnniKernels;
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx512VnniKernels;
extern const Kernels kAvx512Bf16Kernels;
#endif

namespace {

struct Isa {
  const Kernels* kernels;
  bool CpuFeatures::* needs;  // null: any processor
};

// The best first, each before those that extend it, which have its name and need more.
constexpr Isa kIsas[] = {
#ifdef PYREC_X86
#define PYREC_AVX512_ISAS                                                                    \
  {&kAvx512Kernels, &CpuFeatures::avx512}, {&kAvx512VnniKernels, &CpuFeatures::avx512_vnni}, \
      {&kAvx512Bf16Kernels, &CpuFeatures::avx512_bf16},
#ifndef PYREC_EMULATED_AVX512
    PYREC_AVX512_ISAS
#endif
    {&kAvx2Kernels, &CpuFeatures::avx2},
    {&kAvx2VnniKernels, &CpuFeatures::avx2_vnni},
#endif
    {&kScalarKernels, nullptr},
#ifdef PYREC_EMULATED_AVX512  // slower than any
    PYREC_AVX512_ISAS
#endif
};
#undef PYREC_AVX512_ISAS

bool runs_here(const Isa& isa) { return isa.needs == nullptr || cpu_features().*isa.needs; }

bool same_isa(const Kernels& a, const Kernels& b) { return std::string_view(a.isa) == b.isa; }

void extend(Kernels& kernels, const Kernels& by) {
#define PYREC_REPLACE(name, type) \
  if (by.name != nullptr) kernels.name = by.name;
  PYREC_KERNELS(PYREC_REPLACE)
#undef PYREC_REPLACE
#define PYREC_ADD(name) kernels.name = kernels.name || by.name;
  PYREC_TRAITS(PYREC_ADD)
#undef PYREC_ADD
}

std::vector<Kernels> make_tables() {
  std::vector<Kernels> tables;
  for (const Isa& isa : kIsas) {
    if (!runs_here(isa)) continue;
    if (!tables.empty() && same_isa(tables.back(), *isa.kernels)) {
      extend(tables.back(), *isa.kernels);
    } else {
      tables.push_back(*isa.kernels);
    }
  }
  // Multiplies by all of a panel in the first-level cache before what it would skip has come from
  // the second.
  if (cpu_features().zen5) {
    for (Kernels& kernels : tables) kernels.skips_pairs = false;
  }
  return tables;
}

Kernels make_stand_ins() {
  Kernels kernels = *std::find_if(std::begin(kIsas), std::end(kIsas), runs_here)->kernels;
  kernels.isa = kStandIn;
#define PYREC_SET(name) kernels.name = true;
  PYREC_TRAITS(PYREC_SET)
#undef PYREC_SET
  return kernels;
}

}  // namespace

std::vector<std::string_view> known_isas() {
  std::vector<std::string_view> names;
  for (const Isa& isa : kIsas) {
    if (names.empty() || names.back() != isa.kernels->isa) names.emplace_back(isa.kernels->isa);
  }
  return names;
}

std::span<const Kernels> available_kernels() {
  static const std::vector<Kernels> tables = make_tables();
  return tables;
}

const Kernels* find_kernels(std::string_view isa) {
  static const Kernels stand_ins = make_stand_ins();
  if (isa == kStandIn) return &stand_ins;
  const std::span<const Kernels> tables = available_kernels();
  const auto found = std::find_if(tables.begin(), tables.end(),
                                  [&](const Kernels& kernels) { return kernels.isa == isa; });
  return found == tables.end() ? nullptr : &*found;
}

}  // namespace pyrec
