#pragma once

#include <algorithm>
#include <vector>

namespace pyrec {

// Where parts end that threads share: large ones first, as each part costs something, and small
// ones last, so that threads finish together, whether one came late or is slow. Parts are of
// `least` to `most` things, all but the last of a multiple of `step`, which both are too, and of
// no more than 1 / `portion` of what is left for a thread where that is more than `least`.
template <class Count>
std::vector<Count> falling_parts(Count total, Count threads, Count least, Count most, Count step,
                                 Count portion) {
  std::vector<Count> ends;
  for (Count end = 0; end < total;) {
    const Count left = total - end;
    const Count part = (left / (portion * threads) + step - 1) / step * step;
    const Count size = std::min(most, std::max(least, part));
    const bool rest = left < size + least && left <= most;
    end = rest ? total : std::min(total, end + size);
    ends.push_back(end);
  }
  return ends;
}

}  // namespace pyrec
