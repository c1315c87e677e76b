#pragma once

#include <cstddef>

namespace pyrec {

// Places, rows and words of bitmaps that changes of stores have looked at in this thread: what a
// change costs, for tests that need no clock.
inline thread_local std::size_t work_of_changes = 0;

}  // namespace pyrec
