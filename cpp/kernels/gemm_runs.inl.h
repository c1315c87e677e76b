#pragma once

// Products over groups of four bytes where instructions add the products of a few groups in 16 bits
// at first. A panel's groups lie in runs of 4, 3, 2 and 1, whose sums stay in 16 bits whatever they
// are multiplied with. A panel's list holds how many runs there are of each length, and then for
// each group, as they lie, where a row holds it, in bytes.

#include "kernels/gemm_groups.inl.h"

namespace pyrec {
namespace {

constexpr int kLongestRun = 4;

// The numbers in a panel's list: behind them is as much room to work out runs in.
inline std::size_t run_list_size(std::size_t k) {
  return ByteRuns::kAny ? kLongestRun + 2 * ceil_divide(k, 4) : 0;
}

// What is left to be added of a block.
struct RunsLeft {
  const std::uint32_t* places;
  const std::byte* b;
};

template <class Runs, int kGroups, int kRows, int kVectors>
[[gnu::always_inline]] inline void add_runs(std::size_t count,
                                            const std::byte* const (&rows)[kRows], RunsLeft& left,
                                            VecU (&sums)[kRows][kVectors]) {
  for (; count > 0; --count) {
    VecI parts[kRows][kVectors];
#pragma GCC unroll 4
    for (int g = 0; g < kGroups; ++g) {
      const std::size_t place = *left.places++;
      VecI right[kVectors];
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v, left.b += kLanes * kGroupBytes) {
        right[v] = load_groups(left.b);
      }
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const VecI a = broadcast(load_group(rows[i] + place));
#pragma GCC unroll 16
        for (int v = 0; v < kVectors; ++v) {
          parts[i][v] = g == 0 ? Runs::start(a, right[v]) : Runs::add(parts[i][v], a, right[v]);
          Runs::settle(parts[i][v]);
        }
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sums[i][v] = Runs::widen(sums[i][v], parts[i][v]);
    }
  }
}

template <class Runs, class Dot, int kRows, int kVectors>
[[gnu::always_inline]] inline void runs_block(const GroupsProduct& block, const Dot& dot,
                                              std::size_t last) {
  VecU sums[kRows][kVectors];
  start_block(dot, sums);
  const std::byte* rows[kRows];
  find_rows(block, rows);
  const std::uint32_t* counts = dot.runs;
  RunsLeft left{counts + kLongestRun, block.b};
  add_runs<Runs, 4>(counts[0], rows, left, sums);
  add_runs<Runs, 3>(counts[1], rows, left, sums);
  add_runs<Runs, 2>(counts[2], rows, left, sums);
  add_runs<Runs, 1>(counts[3], rows, left, sums);
  finish_block(block, dot, sums, last);
}

// All of m rows and the columns of one panel.
template <class Runs, class Dot, int kVectors>
void runs_panel(const GroupsProduct& product, const Dot& given, std::size_t m, std::size_t last) {
  // Copies, which vector stores cannot change as far as the compiler knows.
  GroupsProduct block = product;
  Dot dot = given;
  std::size_t work = 0;  // that no lines have been prefetched for
  const auto pass = [&](std::size_t rows) {
    block.a += rows * block.a_step;
    block.c += rows * block.ldc;
    if (block.bias != nullptr) block.bias += rows * block.bias_step;
    dot = dot.at(rows, 0);
    work += rows * kVectors * block.groups;
    prefetch_some(block.upcoming, work / kWorkPerLine);
    work %= kWorkPerLine;
  };
  constexpr std::size_t kRows = Runs::kRows;
  for (; m >= kRows; m -= kRows) {
    runs_block<Runs, Dot, kRows, kVectors>(block, dot, last);
    pass(kRows);
  }
  for (; m > 0; --m) {
    runs_block<Runs, Dot, 1, kVectors>(block, dot, last);
    pass(1);
  }
}

template <class Runs, class Dot>
struct RunsPanelMaker {
  using Function = void (*)(const GroupsProduct&, const Dot&, std::size_t, std::size_t);
  template <int, int kVectors>
  static constexpr Function function() {
    return runs_panel<Runs, Dot, kVectors>;
  }
};

// The same product as gemm_groups; `runs` of the product points to a panel's list.
template <class Runs, class Dot>
void gemm_runs(const GroupsProduct& product, const Dot& dot, std::size_t m, std::size_t n) {
  if (m == 0 || n == 0) return;
  static constexpr BlockTable<RunsPanelMaker<Runs, Dot>, 1, Runs::kVectors> kPanels;
  const Panels panels = panels_of(n, Runs::kVectors);
  for (std::size_t p = 0, column = 0; p < panels.count; ++p) {
    const std::size_t width = panels.width(p);
    const std::size_t last = smaller(width, n - column) - (width - kLanes);
    GroupsProduct block = product;
    block.b = product.b + column * product.groups * kGroupBytes;
    block.c = product.c + column;
    if (product.bias != nullptr) block.bias = product.bias + column;
    kPanels.entries[0][width / kLanes - 1](block, dot.at(0, column), m, last);
    column += width;
  }
}

// A panel's groups, which become runs one after the other.
template <class Runs, int kVectors>
class PanelRuns {
 public:
  static constexpr std::size_t kVector = kLanes * kGroupBytes;
  static constexpr std::size_t kStep = kVectors * kVector;
  // Above the number of a group: the length of the run that it is the last of.
  static constexpr std::uint32_t kLengthBit = 29;

  // `before` gets for each group the one before it in its run, or itself, and for the last of a run
  // its length.
  PanelRuns(const std::byte* panel, std::uint32_t* before) : panel_(panel), before_(before) {}

  void add(std::uint32_t group) {
    VecI right[kVectors];
    const std::byte* b = panel_ + group * kStep;
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v, b += kVector) right[v] = load_groups(b);
    std::size_t r = 0;
    while (r < count_ && !take(runs_[r], right)) ++r;
    if (r == count_) {
      if (count_ == kOpen) close(r = 0);
      r = count_++;
      runs_[r] = Run{{}, group, 0};
      take(runs_[r], right);
    }
    before_[group] = runs_[r].last;
    runs_[r].last = group;
    if (runs_[r].length == kLongestRun) close(r);
  }
  void close_all() {
    while (count_ > 0) close(count_ - 1);
  }

 private:
  // More would be looked through in vain.
  static constexpr std::size_t kOpen = 6;

  struct Run {
    typename Runs::Bounds bounds[kVectors];
    std::uint32_t last;
    std::uint32_t length;
  };

  // Whether a group fits into a run, which then has grown by it.
  static bool take(Run& run, const VecI (&right)[kVectors]) {
    typename Runs::Bounds grown[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      grown[v] = run.bounds[v].with(right[v]);
      if (!grown[v].fit()) return false;
    }
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) run.bounds[v] = grown[v];
    ++run.length;
    return true;
  }
  void close(std::size_t r) {
    before_[runs_[r].last] |= runs_[r].length << kLengthBit;
    for (--count_; r < count_; ++r) runs_[r] = runs_[r + 1];
  }

  const std::byte* panel_;
  std::uint32_t* before_;
  Run runs_[kOpen];
  std::size_t count_ = 0;
};

// Brings groups of kStep bytes from the places that `from` gives, in bytes of a row, to those in
// order.
template <std::size_t kStep>
void permute_groups(std::byte* panel, std::size_t groups, std::uint32_t* from) {
  constexpr std::uint32_t kMoved = 1u << 31;
  std::byte first[kStep];
  for (std::size_t start = 0; start < groups; ++start) {
    if ((from[start] & kMoved) != 0) continue;
    __builtin_memcpy(first, panel + start * kStep, kStep);
    for (std::size_t to = start;;) {
      const std::size_t next = from[to] / kGroupBytes;
      from[to] |= kMoved;
      const std::byte* bytes = next == start ? first : panel + next * kStep;
      __builtin_memcpy(panel + to * kStep, bytes, kStep);
      if (next == start) break;
      to = next;
    }
  }
  for (std::size_t l = 0; l < groups; ++l) from[l] &= ~kMoved;
}

// Brings a panel's groups into runs, and writes its list.
template <class Runs, int kVectors>
void order_panel(std::byte* panel, std::size_t groups, std::uint32_t* list) {
  using Panel = PanelRuns<Runs, kVectors>;
  std::uint32_t* places = list + kLongestRun;
  std::uint32_t* before = places + groups;
  Panel runs(panel, before);
  for (std::uint32_t l = 0; l < groups; ++l) runs.add(l);
  runs.close_all();
  constexpr std::uint32_t kGroup = (1u << Panel::kLengthBit) - 1;
  for (std::uint32_t length = kLongestRun; length > 0; --length) {
    std::uint32_t count = 0;
    for (std::uint32_t l = 0; l < groups; ++l) {
      if (before[l] >> Panel::kLengthBit != length) continue;
      ++count;
      std::uint32_t group = l;
      for (std::uint32_t i = length; i > 0; --i) {
        places[i - 1] = group * static_cast<std::uint32_t>(kGroupBytes);
        group = before[group] & kGroup;
      }
      places += length;
    }
    *list++ = count;
  }
  permute_groups<Panel::kStep>(panel, groups, places - groups);
}

template <class Runs>
struct OrderPanelMaker {
  using Function = void (*)(std::byte*, std::size_t, std::uint32_t*);
  template <int, int kVectors>
  static constexpr Function function() {
    return order_panel<Runs, kVectors>;
  }
};

}  // namespace
}  // namespace pyrec
