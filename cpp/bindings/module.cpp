#include <pybind11/pybind11.h>

#include "bindings/errors.h"
#include "bindings/hash_bindings.h"
#include "bindings/item_writer.h"
#include "bindings/kernel_bindings.h"
#include "bindings/node_bindings.h"
#include "bindings/plan_bindings.h"
#include "bindings/retrieval_bindings.h"
#include "bindings/row_reader.h"
#include "bindings/selection_bindings.h"
#include "bindings/sparse_bindings.h"
#include "bindings/store_bindings.h"
#include "bindings/string_bindings.h"
#include "bindings/text_tensor.h"
#include "bindings/thread_bindings.h"

namespace {

#ifdef _FORTIFY_SOURCE
constexpr int kCheckedCopies = _FORTIFY_SOURCE;
#else
constexpr int kCheckedCopies = 0;
#endif

}  // namespace

PYBIND11_MODULE(_native, module) {
  module.doc() = "The native core of pyrec_infer; not a public interface.";
  module.def(
      "checked_copies", [] { return kCheckedCopies; },
      "The level of the C library's checks of copies, 0 for none.");
  pyrec::translate_errors();
  pyrec::bind_threads(module);
  pyrec::bind_kernels(module);
  pyrec::bind_strings(module);
  pyrec::bind_text_tensor(module);
  pyrec::bind_row_reader(module);
  pyrec::bind_hashing(module);
  pyrec::bind_store(module);
  pyrec::bind_item_writer(module);
  pyrec::bind_plan(module);
  pyrec::bind_nodes(module);
  pyrec::bind_retrieval(module);
  pyrec::bind_selection(module);
  pyrec::bind_sparse(module);
}
