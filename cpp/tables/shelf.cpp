#include "tables/shelf.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <new>

#include "tables/region.h"

namespace pyrec {

namespace {

constexpr std::size_t kLine = 64;

// Whole huge pages, where the system has them.
class Shelf {
 public:
  explicit Shelf(std::size_t bytes) : region_(bytes, bytes) {
#ifdef MADV_HUGEPAGE
    static_cast<void>(madvise(region_.data(), region_.room(), MADV_HUGEPAGE));
#endif
    region_.commit(region_.room());
  }

  std::size_t left() const { return region_.room() - used_; }
  std::byte* take(std::size_t bytes) {
    std::byte* const taken = region_.data() + used_;
    used_ += bytes;
    return taken;
  }

 private:
  Region region_;
  std::size_t used_ = 0;
};

}  // namespace

std::shared_ptr<std::byte> take_from_shelf(std::size_t bytes) {
  // Of the thread: a lock might be held for ever in a child of a fork.
  thread_local std::weak_ptr<Shelf> last;
  bytes = std::max((bytes + kLine - 1) / kLine * kLine, kLine);
  std::shared_ptr<Shelf> shelf = last.lock();
  if (!shelf || shelf->left() < bytes) {
    shelf = std::make_shared<Shelf>(bytes);
    last = shelf;
  }
  std::byte* const taken = shelf->take(bytes);
  return {std::move(shelf), taken};
}

}  // namespace pyrec
