#include "bindings/prepared_call.h"

#include <pybind11/numpy.h>
#include <structmember.h>

#include <algorithm>
#include <cstddef>
#include <exception>
#include <memory>
#include <new>

#include "bindings/convert.h"
#include "bindings/given_values.h"
#include "bindings/plan_bindings.h"
#include "bindings/signals.h"

namespace py = pybind11;

namespace pyrec {

namespace {

// Calls with more ids let the interpreter lock go while these are looked up.
constexpr std::size_t kMostIds = 4096;

// Rows, or results, beyond which whoever looks closer asks whether there is memory for the results.
constexpr std::int64_t kMostRows = std::int64_t{1} << 16;

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

// What a call was given by name; null: not given.
struct Named {
  PyObject* out = nullptr;
  PyObject* ids = nullptr;
  PyObject* offsets = nullptr;
  PyObject* k = nullptr;
  PyObject* shared = nullptr;
};

bool read_named(const PreparedSpec& spec, PyObject* names, PyObject* const* values, Named& named) {
  const py::ssize_t count = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  for (py::ssize_t i = 0; i < count; ++i) {
    PyObject* name = PyTuple_GET_ITEM(names, i);
    if (PyUnicode_CompareWithASCIIString(name, "out") == 0) {
      named.out = values[i] == Py_None ? nullptr : values[i];
    } else if (spec.store && PyUnicode_CompareWithASCIIString(name, "ids") == 0) {
      named.ids = values[i];
    } else if (spec.lenient && PyUnicode_CompareWithASCIIString(name, "offsets") == 0) {
      named.offsets = values[i] == Py_None ? nullptr : values[i];
    } else if (spec.lenient && PyUnicode_CompareWithASCIIString(name, "k") == 0) {
      named.k = values[i];
    } else if (spec.lenient && PyUnicode_CompareWithASCIIString(name, "shared") == 0) {
      named.shared = values[i];
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

// Takes what the caller gives for the plan's inputs; false where it needs a closer look. `lone`:
// whether it is of one request.
bool take_given(const State& state, PyObject* const* arguments, bool lone, GivenValues& values,
                Executor::Session& session) {
  const PreparedSpec& spec = state.spec;
  for (std::size_t i = 0; i < spec.places.size(); ++i) {
    if (spec.places[i] >= spec.given()) continue;
    const InputSpec& input = state.executor.inputs()[i];
    const py::handle value(arguments[spec.places[i]]);
    Tensor& tensor = session.input(i);
    const bool taken = spec.lenient ? values.take(value, input, lone && input.request, tensor)
                                    : borrow_fitting(value, input, tensor);
    if (!taken) return false;
  }
  return true;
}

// Reads a raw row as the plan's inputs; false where it needs a closer look.
bool read_row(const State& state, PyObject* row, RowMemory& memory, Executor::Session& session) {
  const PreparedSpec& spec = state.spec;
  const std::size_t given = spec.given();
  std::vector<Tensor*> inputs(given, nullptr);
  for (std::size_t i = 0; i < spec.places.size(); ++i) {
    if (spec.places[i] >= given) continue;
    inputs[spec.places[i]] = &session.input(i);
    __builtin_prefetch(&session.input(i), 1);
  }
  if (!spec.reader->read(row, memory, inputs)) return false;
  for (std::size_t i = 0; i < spec.places.size(); ++i) {
    if (spec.places[i] >= given) continue;
    if (!is_fitting(session.input(i), state.executor.inputs()[i])) return false;
  }
  return true;
}

void give_items(const PreparedSpec& spec, Items& items, Executor::Session& session) {
  const std::size_t given = spec.given();
  for (std::size_t i = 0; i < spec.places.size(); ++i) {
    Tensor& tensor = session.input(i);
    if (spec.places[i] > given) {
      const auto count = static_cast<std::int64_t>(items.rows.size());
      tensor = {reinterpret_cast<std::byte*>(items.rows.data()), DType::kInt64, {count}, {1}, {}};
    } else if (spec.places[i] == given) {
      const auto stride = static_cast<std::int64_t>(items.view.records().stride());
      const auto capacity = static_cast<std::int64_t>(items.view.capacity());
      tensor = {items.view.records().row(0), DType::kUint8, {capacity, stride}, {stride, 1}, {}};
    }
  }
}

// Row bounds of several requests; false where they need a closer look.
bool read_bounds(PyObject* given, std::vector<std::int64_t>& bounds) {
  GivenValues values;
  Tensor tensor;
  const InputSpec bounds_of_rows{"offsets", DType::kInt64, {-1}, 0, false};
  if (!values.take(given, bounds_of_rows, false, tensor) || tensor.dtype != DType::kInt64 ||
      !tensor.contiguous() || tensor.elements() < 2) {
    return false;
  }
  bounds.assign(tensor.as<std::int64_t>(), tensor.as<std::int64_t>() + tensor.elements());
  return bounds.front() == 0 && std::ranges::is_sorted(bounds);
}

std::int64_t requests_of(const Executor& executor, Executor::Session& session) {
  for (std::size_t i = 0; i < executor.given_count(); ++i) {
    const InputSpec& input = executor.inputs()[i];
    if (input.request && input.row_axis >= 0) return session.input(i).shape[input.row_axis];
  }
  return 1;
}

// The best of so many candidates, and how many these are; an empty object where what is asked for
// needs a closer look.
py::object find_best(const State& state, const Named& named, Executor::Session& session,
                     const std::vector<std::int64_t>& bounds, std::int64_t rows) {
  int overflow = 0;
  const std::int64_t k = PyLong_AsLongLongAndOverflow(named.k, &overflow);
  if (overflow != 0 || k < 0 || !state.spec.width.empty() || rows > kMostRows) return {};
  const bool shared = named.shared == Py_True;
  if (shared && requests_of(state.executor, session) * std::min(k, rows) > kMostRows) {
    return {};
  }
  std::vector<std::vector<Winner>> winners;
  Selection selection;
  selection.k = static_cast<std::size_t>(k);
  selection.shared = shared;
  run_watched([&] { session.run_best(bounds, selection, winners); });
  return py::make_tuple(give_winners(session, winners), rows);
}

// The scores of a call with nothing unusual, else an empty object.
py::object try_call(const State& state, PyObject* const* arguments, const Named& named) {
  const PreparedSpec& spec = state.spec;
  Items items;
  RowMemory memory;
  GivenValues values;
  std::vector<std::int64_t> bounds;
  if (named.offsets != nullptr && !read_bounds(named.offsets, bounds)) return {};
  Executor::Session session(state.executor);
  const bool lone = bounds.size() <= 2;
  if (!spec.reader && !take_given(state, arguments, lone, values, session)) return {};
  if (spec.store && !find_items(state.executor, *spec.store, named.ids, items)) return {};
  if (spec.reader && !read_row(state, arguments[0], memory, session)) return {};
  if (spec.store) give_items(spec, items, session);
  std::int64_t rows = spec.store ? static_cast<std::int64_t>(items.rows.size()) : 1;
  if (spec.rows && !spec.store) {
    const auto [place, axis] = *spec.rows;
    rows = session.input(place).shape[axis];
  }
  if (rows == 0 || rows > spec.most_rows) return {};
  if (named.k != nullptr) return find_best(state, named, session, bounds, rows);
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
  run_watched([&] { write_scores(session, session.run(bounds).front(), target); });
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
