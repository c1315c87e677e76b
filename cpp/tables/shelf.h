#pragma once

#include <cstddef>
#include <memory>

namespace pyrec {

// Memory of zeros for what is made once and looked into at random: small things side by side in
// huge pages, so that few of the processor's entries for pages serve all of them. It begins at a
// cache line, and goes back to the system with the last of its neighbours. Throws std::bad_alloc.
std::shared_ptr<std::byte> take_from_shelf(std::size_t bytes);

}  // namespace pyrec
