#include "tables/region.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <new>

namespace pyrec {

namespace {

constexpr std::size_t kSmallestCommit = std::size_t{1} << 16;

#ifdef MAP_NORESERVE
constexpr int kReserve = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
#else
constexpr int kReserve = MAP_PRIVATE | MAP_ANONYMOUS;
#endif

std::size_t round_up(std::size_t value, std::size_t unit) {
  return (value + unit - 1) / unit * unit;
}

constexpr std::size_t kHugePage = Region::kHugePage;

}  // namespace

Region::Region(std::size_t least, std::size_t most) {
  least = round_up(std::max<std::size_t>(least, 1), kHugePage);
  room_ = std::max(least, round_up(most, kHugePage));
  while (true) {
    length_ = room_ + kHugePage;
    start_ = mmap(nullptr, length_, PROT_NONE, kReserve, -1, 0);
    if (start_ != MAP_FAILED) break;
    // A process may be allowed few addresses.
    if (room_ == least) throw std::bad_alloc();
    room_ = std::max(least, round_up(room_ / 4, kHugePage));
  }
  const auto address = reinterpret_cast<std::uintptr_t>(start_);
  data_ = static_cast<std::byte*>(start_) + (round_up(address, kHugePage) - address);
}

Region::~Region() { munmap(start_, length_); }

void Region::commit(std::size_t bytes) {
  if (bytes <= committed_) return;
  if (bytes > room_) throw std::bad_alloc();
  const std::size_t end = bytes >= kHugePage ? round_up(bytes, kHugePage)
                                             : std::max(std::bit_ceil(bytes), kSmallestCommit);
  std::byte* from = data_ + committed_;
  if (mprotect(from, end - committed_, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  // The first one only where more follow: small things are many. Some kernels are built without
  // them.
  const std::size_t large = end > kHugePage ? committed_ / kHugePage * kHugePage : end;
  if (end > large) static_cast<void>(madvise(data_ + large, end - large, MADV_HUGEPAGE));
#endif
  committed_ = end;
}

void Region::give_back(std::size_t begin, std::size_t end) noexcept {
  static const auto kPage = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  begin = round_up(begin, kPage);
  end = end / kPage * kPage;
  if (begin < end) static_cast<void>(madvise(data_ + begin, end - begin, MADV_DONTNEED));
}

}  // namespace pyrec
