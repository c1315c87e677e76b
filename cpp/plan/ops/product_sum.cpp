#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "plan/op_list.h"
#include "plan/ops/dense.h"
#include "plan/ops/dense_layer.h"
#include "plan/ops/kept_products.h"
#include "plan/ops/lookups.h"
#include "plan/tensor_tools.h"

namespace pyrec {

namespace {

constexpr const char* kName = "pyrec.ProductSum";

// Fewer rows hardly repeat an id.
constexpr std::size_t kLeastRows = 32;
// Rows that are multiplied at once; batches of more do not gain by what is kept.
constexpr std::size_t kMostRows = 128;
// Of the products that one sum keeps: more are far, and are found hardly more often.
constexpr std::size_t kKeptBytes = std::size_t{3} << 20;

// What sums that have run have left for the next, one for each that runs at a time.
class Spares {
 public:
  using Kept = std::deque<KeptProducts>;

  ~Spares() {
    for (std::atomic<Kept*>& spare : spares_) delete spare.load();
  }
  std::unique_ptr<Kept> take() {
    for (std::atomic<Kept*>& spare : spares_) {
      if (Kept* found = spare.exchange(nullptr)) return std::unique_ptr<Kept>(found);
    }
    return nullptr;
  }
  void give(std::unique_ptr<Kept> kept) {
    for (std::atomic<Kept*>& spare : spares_) {
      Kept* none = nullptr;
      if (!spare.compare_exchange_strong(none, kept.get())) continue;
      static_cast<void>(kept.release());
      return;
    }
  }

 private:
  std::array<std::atomic<Kept*>, 4> spares_{};
};

// act(bias + sum of rows of tables, some of which are multiplied with weights first). Each product
// is a chain of its own that starts from zero, so that it is the same number wherever it is made.
class ProductSum {
 public:
  static constexpr int kStartsFrom = 0;

  explicit ProductSum(const OpSpec& spec)
      : parts_(node_parts(spec, 1)),
        labels_(spec.attributes.texts("labels")),
        strict_(spec.attributes.integer("strict", 0) != 0),
        activation_(activation_of(kName, spec.attributes.text("activation", ""))),
        width_(unsigned_size(spec.attributes.integer("width", -1))) {
    const auto places = spec.attributes.integers("multiplied");
    for (std::size_t i = 0; i < places.size(); ++i) {
      const Tensor& weights = constant_weights(spec, 1 + 2 * parts_.size() + i, kName);
      const auto part = unsigned_size(places[i]);
      const bool fits = part < parts_.size() && parts_[part].size >= 0 &&
                        weights.shape == Shape{parts_[part].width, width()};
      if (!fits) refuse();
      products_.push_back({part, PackedF32(spec.kernels, weights)});
    }
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (!std::ranges::count(places, static_cast<std::int64_t>(i)) && parts_[i].width != width()) {
        refuse();
      }
    }
  }

  void run(Context& context, std::span<const Value* const> in, std::span<Value> out) const {
    const Lookups lookups(context, parts_, labels_, strict_, in.first(in.size() - products_.size()),
                          1);
    const std::size_t n = lookups.rows();
    const Shape shape{static_cast<std::int64_t>(n), width()};
    const ShapedBias bias(context, kName, optional(in, 0), shape);
    const Tensor sums = made_where_offered(context, out[0], DType::kFloat32, shape);
    out[0].tensor = sums;
    for (std::size_t begin = 0; begin < n; begin += kMostRows) {
      const std::size_t count = std::min(kMostRows, n - begin);
      add(context, lookups, bias, begin, count, sums);
    }
  }

 private:
  struct Product {
    std::size_t part;
    PackedF32 weights;
  };

  std::int64_t width() const { return static_cast<std::int64_t>(width_); }

  [[noreturn]] static void refuse() {
    throw OpError(ErrorKind::kModel, "expected tables and weights of one width");
  }

  void add(Context& context, const Lookups& lookups, const MatrixBias& bias, std::size_t begin,
           std::size_t n, const Tensor& sums) const {
    std::unique_ptr<Spares::Kept> kept = n < kLeastRows ? nullptr : take();
    std::size_t widest = 0;
    for (const Product& product : products_)
      widest = std::max(widest, lookups.data()[product.part].width);
    std::vector<LookupPart> parts(lookups.data(), lookups.data() + lookups.size());
    for (LookupPart& part : parts) {
      if (part.rows != nullptr)
        part.rows += begin;
      else
        part.table += begin * part.stride;
    }
    const std::size_t many = products_.size();
    const BufferRef numbers = context.arena.allocate((many + 1) * n * sizeof(std::int64_t));
    auto* places = reinterpret_cast<std::int64_t*>(numbers.get()->data());
    std::int64_t* missing = places + many * n;
    const BufferRef scratch =
        context.arena.allocate((widest + (kept ? 0 : many * width_)) * n * sizeof(float));
    auto* rows = reinterpret_cast<float*>(scratch.get()->data());
    float* made = rows + widest * n;
    for (std::size_t i = 0; i < many; ++i) {
      LookupPart& part = parts[products_[i].part];
      LookupPart product = part;
      product.stride = width_ * sizeof(float);
      product.width = width_;
      product.far = false;
      if (kept) {
        KeptProducts& own = (*kept)[i];
        const std::size_t count = own.place({part.rows, n}, places, missing);
        part.rows = missing;
        multiply(context, products_[i], part, count, rows, own.first_missing());
        product.table = reinterpret_cast<const unsigned char*>(own.products());
        product.rows = places;
        places += n;
      } else {
        multiply(context, products_[i], part, n, rows, made);
        product.table = reinterpret_cast<const unsigned char*>(made);
        product.rows = nullptr;
        made += n * width_;
      }
      part = product;
    }
    context.kernels.lookup_sum_f32(bias.rows ? bias.rows + begin * bias.step : nullptr, bias.step,
                                   parts.data(), parts.size(), activation_, n, width_,
                                   sums.as<float>() + begin * unsigned_size(sums.strides[0]),
                                   unsigned_size(sums.strides[0]));
    if (kept) spares_.give(std::move(kept));
  }

  std::unique_ptr<Spares::Kept> take() const {
    std::unique_ptr<Spares::Kept> kept = spares_.take();
    if (kept) return kept;
    kept = std::make_unique<Spares::Kept>();
    for (std::size_t i = 0; i < products_.size(); ++i) {
      kept->emplace_back(width_, kMostRows, kKeptBytes / products_.size());
    }
    return kept;
  }

  // Of rows of a part, one after the other.
  void multiply(Context& context, const Product& product, const LookupPart& part, std::size_t n,
                float* rows, float* products) const {
    if (n == 0) return;
    context.kernels.lookup_f32(&part, 1, n, rows, part.width);
    context.kernels.gemm_f32(rows, part.width, product.weights.matrix(0), nullptr, 0,
                             Activation::kNone, products, width_, n, width_, part.width,
                             &context.upcoming);
  }

  std::vector<NodePart> parts_;
  std::vector<std::string> labels_;
  bool strict_;
  Activation activation_;
  std::size_t width_;
  std::vector<Product> products_;
  mutable Spares spares_;
};

constexpr OpEntry kOps[] = {{kName, make_op<ProductSum>}};

}  // namespace

std::span<const OpEntry> product_sum_ops() { return kOps; }

}  // namespace pyrec
