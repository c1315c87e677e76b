#include "bindings/prepared_call.h"

#include <pybind11/numpy.h>
#include <structmember.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>

#include "bindings/convert.h"
#include "bindings/plan_bindings.h"
#include "bindings/signals.h"
#include "bindings/text_tensor.h"
#include "plan/tensor_tools.h"

namespace py = pybind11;

namespace pyrec {

namespace {

// Calls with more ids let the interpreter lock go while these are looked up.
constexpr std::size_t kMostIds = 4096;

struct State {
  py::object owner;
  const Executor& executor;
  PreparedSpec spec;
  py::object general;
};

struct PreparedObject {
  PyObject ob_base;
  vectorcallfunc call;
  State* state;
};

PyTypeObject* prepared_type = nullptr;

PreparedObject* prepared(PyObject* self) { return reinterpret_cast<PreparedObject*>(self); }

bool is_number(DType dtype) { return dtype != DType::kBool && dtype != DType::kText; }

bool fits(const Tensor& tensor, const InputSpec& input) {
  return static_cast<std::size_t>(tensor.rank()) == input.sizes.size() &&
         (tensor.dtype == input.dtype || (is_number(tensor.dtype) && is_number(input.dtype)));
}

// What a call was given by name; null: not given.
struct Named {
  PyObject* out = nullptr;
  PyObject* ids = nullptr;
};

bool read_named(const PreparedSpec& spec, PyObject* names, PyObject* const* values, Named& named) {
  const py::ssize_t count = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  for (py::ssize_t i = 0; i < count; ++i) {
    PyObject* name = PyTuple_GET_ITEM(names, i);
    if (PyUnicode_CompareWithASCIIString(name, "out") == 0) {
      named.out = values[i] == Py_None ? nullptr : values[i];
    } else if (spec.store && PyUnicode_CompareWithASCIIString(name, "ids") == 0) {
      named.ids = values[i];
    } else {
      return false;
    }
  }
  return true;
}

// What a reader of stored items holds.
struct Items {
  ItemStore::View view;
  std::vector<std::int64_t> rows;
};

// Finds the items with int64 ids; false where the ids need a closer look or one is not there.
bool find_items(const Executor& executor, const ItemStore& store, PyObject* ids, Items& items) {
  Tensor given;
  if (ids == nullptr || !borrow_plain(ids, given)) return false;
  if (given.dtype != DType::kInt64 || given.rank() != 1 || !given.contiguous()) return false;
  const auto count = static_cast<std::size_t>(given.elements());
  if (count > kMostIds) return false;
  executor.expect(given.elements());
  items.rows.resize(count);
  Keys keys;
  keys.numbers = {given.as<std::int64_t>(), count};
  store.find(keys, items.rows, items.view);
  return std::ranges::find(items.rows, ItemIndex::kAbsent) == items.rows.end();
}

// Borrows what the caller gives for the plan's inputs; false where it needs a closer look.
bool borrow_given(const State& state, PyObject* const* arguments, Executor::Session& session) {
  const PreparedSpec& spec = state.spec;
  for (std::size_t i = 0; i < spec.places.size(); ++i) {
    if (spec.places[i] >= spec.given()) continue;
    const InputSpec& input = state.executor.inputs()[i];
    const py::handle argument(arguments[spec.places[i]]);
    Tensor& tensor = session.input(i);
    const bool text = input.dtype == DType::kText;
    if (!(text ? borrow_strings(argument, tensor) : borrow_plain(argument, tensor)) ||
        !fits(tensor, input)) {
      return false;
    }
  }
  return true;
}

// The scores of a call with nothing unusual, else an empty object.
py::object try_call(const State& state, PyObject* const* arguments, const Named& named) {
  const PreparedSpec& spec = state.spec;
  Items items;
  Executor::Session session(state.executor);
  if (!spec.reader && !borrow_given(state, arguments, session)) return {};
  if (spec.store && !find_items(state.executor, *spec.store, named.ids, items)) return {};
  const std::size_t given = spec.given();
  RowMemory memory;
  if (spec.reader) {
    std::vector<Tensor*> inputs(given, nullptr);
    for (std::size_t i = 0; i < spec.places.size(); ++i) {
      if (spec.places[i] >= given) continue;
      inputs[spec.places[i]] = &session.input(i);
      __builtin_prefetch(&session.input(i), 1);
    }
    if (!spec.reader->read(arguments[0], memory, inputs)) return {};
  }
  for (std::size_t i = 0; i < spec.places.size(); ++i) {
    Tensor& tensor = session.input(i);
    const std::size_t place = spec.places[i];
    if (place > given) {
      const auto count = static_cast<std::int64_t>(items.rows.size());
      tensor = {reinterpret_cast<std::byte*>(items.rows.data()), DType::kInt64, {count}, {1}, {}};
      continue;
    }
    if (place == given) {
      const auto stride = static_cast<std::int64_t>(items.view.records().stride());
      const auto capacity = static_cast<std::int64_t>(items.view.capacity());
      tensor = {items.view.records().row(0), DType::kUint8, {capacity, stride}, {stride, 1}, {}};
      continue;
    }
    if (spec.reader && !fits(tensor, state.executor.inputs()[i])) return {};
  }
  std::int64_t rows = spec.store ? static_cast<std::int64_t>(items.rows.size()) : 1;
  if (spec.rows && !spec.store) {
    const auto [place, axis] = *spec.rows;
    const py::handle argument(arguments[place]);
    if (!is_plain_array(argument)) return {};
    const auto array = py::reinterpret_borrow<py::array>(argument);
    if (axis >= array.ndim()) return {};
    rows = array.shape(axis);
  }
  if (rows == 0 || rows > spec.most_rows) return {};
  Shape shape{rows};
  for (std::int64_t size : spec.width) shape.push_back(size);
  Tensor target;
  py::object scores;
  if (named.out == nullptr) {
    scores =
        py::array(py::dtype::of<float>(), std::vector<py::ssize_t>(shape.begin(), shape.end()));
    if (!borrow_plain(scores, target)) return {};
  } else {
    scores = py::reinterpret_borrow<py::object>(named.out);
    if (!borrow_plain(scores, target) || target.dtype != DType::kFloat32 ||
        !(target.shape == shape) || !py::reinterpret_borrow<py::array>(scores).writeable()) {
      return {};
    }
  }
  run_watched([&] { write_scores(session, session.run({}).front(), target); });
  return scores;
}

PyObject* call(PyObject* self, PyObject* const* arguments, std::size_t flags, PyObject* names) {
  const State& state = *prepared(self)->state;
  const auto count = static_cast<std::size_t>(PyVectorcall_NARGS(flags));
  try {
    Named named;
    if (count == state.spec.count && read_named(state.spec, names, arguments + count, named)) {
      py::object scores = try_call(state, arguments, named);
      if (scores) return scores.release().ptr();
    }
  } catch (py::error_already_set& error) {
    // NumPy's error for want of memory is none of this package.
    if (!error.matches(PyExc_MemoryError)) {
      error.restore();
      return nullptr;
    }
  } catch (const std::exception&) {
    // The general call fails too, and words the error.
  }
  if (state.general.is_none()) return py::none().release().ptr();
  return PyObject_Vectorcall(state.general.ptr(), arguments, flags, names);
}

void destroy(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete prepared(self)->state;
  type->tp_free(self);
  Py_DECREF(type);
}

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(PreparedObject, call), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};

PyType_Slot slots[] = {{Py_tp_call, reinterpret_cast<void*>(&PyVectorcall_Call)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(&destroy)},
                       {Py_tp_members, members},
                       {Py_tp_doc, const_cast<char*>("A call whose inputs are known by position.")},
                       {0, nullptr}};

PyType_Spec type_spec = {
    "pyrec_infer._native.PreparedCall", sizeof(PreparedObject), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

}  // namespace

py::object make_prepared_call(py::object owner, const Executor& executor, PreparedSpec spec,
                              py::object general) {
  auto state = std::make_unique<State>(
      State{std::move(owner), executor, std::move(spec), std::move(general)});
  PyObject* made = prepared_type->tp_alloc(prepared_type, 0);
  if (made == nullptr) throw py::error_already_set();
  prepared(made)->call = &call;
  prepared(made)->state = state.release();
  return py::reinterpret_steal<py::object>(made);
}

void make_prepared_type() {
  prepared_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&type_spec));
  if (prepared_type == nullptr) throw py::error_already_set();
}

}  // namespace pyrec
