#include "bindings/kernel_bindings.h"

#include <pybind11/stl.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "bindings/kernels/runners.h"
#include "codecs/codec.h"
#include "dispatch/cpu.h"
#include "dispatch/kernels.h"

namespace pyrec {
namespace {

using Families = std::map<std::string, Runners>;

const Families& families() {
  static const Families all = [] {
    Families made;
#define PYREC_ADD_FAMILY(family) add_##family##_runners(made[#family]);
    PYREC_FAMILIES(PYREC_ADD_FAMILY)
#undef PYREC_ADD_FAMILY
    return made;
  }();
  return all;
}

const Kernels& kernels_of(const std::string& isa) {
  const Kernels* kernels = find_kernels(isa);
  if (kernels == nullptr) throw py::value_error("no such ISA here: " + isa);
  return *kernels;
}

py::object run_kernel(const std::string& isa, const std::string& name, const py::args& arguments,
                      py::object out) {
  const Call call(kernels_of(isa), name, arguments, std::move(out));
  for (const auto& [family, runners] : families()) {
    const auto found = runners.find(name);
    if (found != runners.end()) return found->second(call);
  }
  throw py::value_error("no such kernel: " + name);
}

std::vector<std::string> kernel_backends() {
  std::vector<std::string> names;
  for (const Kernels& kernels : available_kernels()) names.emplace_back(kernels.isa);
  return names;
}

std::map<std::string, std::vector<std::string>> kernel_families() {
  std::map<std::string, std::vector<std::string>> names;
  for (const auto& [family, runners] : families()) {
    for (const auto& runner : runners) names[family].push_back(runner.first);
  }
  return names;
}

std::map<std::string, bool> kernel_traits(const std::string& isa) {
  std::map<std::string, bool> traits;
#define PYREC_TRAIT(name) traits[#name] = kernels_of(isa).name;
  PYREC_TRAITS(PYREC_TRAIT)
#undef PYREC_TRAIT
  return traits;
}

std::map<std::string, bool> features() {
  std::map<std::string, bool> present;
#define PYREC_PRESENT(name) present[#name] = cpu_features().name;
  PYREC_CPU_FEATURES(PYREC_PRESENT)
#undef PYREC_PRESENT
  return present;
}

std::vector<std::string> names_of_codecs() { return {codec_names().begin(), codec_names().end()}; }

}  // namespace

void bind_kernels(py::module_& module) {
  module.def("known_isas", &known_isas, "ISAs of this build, best first.");
  module.def("kernel_backends", &kernel_backends, "Those that this CPU can run, best first.");
  module.def("kernel_families", &kernel_families,
             "For each family the kernels that run_kernel can run.");
  module.def("kernel_traits", &kernel_traits,
             "What the kernels of an ISA can do on this CPU that those of another cannot.",
             py::arg("isa"));
  module.def(
      "kernel_lanes", [](const std::string& isa) { return kernels_of(isa).lanes; },
      "Floats in a vector of an ISA.", py::arg("isa"));
  module.def("codec_names", &names_of_codecs, "Codecs of rows that kernels read.");
  module.def("cpu_features", &features, "Instruction sets of this CPU that kernels can use.");
  module.def("run_kernel", &run_kernel,
             "Run one kernel on contiguous arrays, into `out` or a new array. For tests.",
             py::arg("isa"), py::arg("name"), py::arg("out") = py::none());
}

}  // namespace pyrec
