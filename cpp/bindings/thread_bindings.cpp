#include "bindings/thread_bindings.h"

#include <memory>

#include "core/credit.h"
#include "core/thread_pool.h"

namespace py = pybind11;

namespace pyrec {

void bind_threads(py::module_& module) {
  py::class_<ThreadPool, std::shared_ptr<ThreadPool>>(module, "ThreadPool")
      .def(py::init<std::size_t>(), py::arg("threads"))
      .def_property_readonly("threads", &ThreadPool::threads)
      .def(
          "run",
          [](ThreadPool& pool, std::size_t count, const py::function& body) {
            const py::gil_scoped_release released;
            pool.run(count, [&](std::size_t index, std::size_t worker) {
              const py::gil_scoped_acquire held;
              body(index, worker);
            });
          },
          py::arg("count"), py::arg("body"));
  py::class_<Pace>(module, "Pace")
      .def(py::init<>())
      .def(
          "add",
          [](Pace& pace, double taken, double weight) { pace.add(Pace::Time(taken), weight); },
          py::arg("taken"), py::arg("weight"))
      .def(
          "of", [](const Pace& pace, double weight) { return pace.of(weight).count(); },
          py::arg("weight"));
  py::class_<Credit>(module, "Credit")
      .def(py::init<>())
      .def_property_readonly("enough", &Credit::enough)
      .def(
          "share",
          [](Credit& credit, double worked, double taken) {
            credit.share(Credit::Time(worked), Credit::Time(taken));
          },
          py::arg("worked"), py::arg("taken"))
      .def(
          "run_alone",
          [](Credit& credit, double worked, double taken) {
            credit.run_alone(Credit::Time(worked), Credit::Time(taken));
          },
          py::arg("worked"), py::arg("taken"));
}

}  // namespace pyrec
