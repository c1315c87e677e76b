#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string_view>

namespace pyrec {

// Strings without most of those that lie where another one does, so that work on equal ones is
// done once; and for each string its place among them. In the order of where each is first.
class DistinctTexts {
 public:
  static constexpr std::size_t kMost = 512;

  // At most kMost, borrowed. False where they hardly repeat, and nothing was read.
  bool read(std::span<const std::string_view> texts) {
    constexpr std::size_t kLeast = 64, kSample = 32;
    if (texts.size() < kLeast) return false;
    Slots slots;
    ::new (bytes_.data()) std::string_view(texts[0]);
    places_[0] = 0;
    slots.fill(0);
    count_ = 1;
    read_some(texts, slots, 1, kSample);
    if (count_ == kSample) return false;
    read_some(texts, slots, kSample, texts.size());
    return true;
  }

  std::span<const std::string_view> texts() const { return {at(0), count_}; }
  std::size_t place(std::size_t i) const { return places_[i]; }

 private:
  static constexpr int kBits = 9;
  using Slots = std::array<std::uint16_t, std::size_t{1} << kBits>;

  // Without branches, as chance decides which strings repeat. A slot that is not taken asks for the
  // first string, which is as good as any.
  void read_some(std::span<const std::string_view> texts, Slots& slots, std::size_t begin,
                 std::size_t end) {
    auto count = static_cast<std::uint32_t>(count_);
    for (std::size_t i = begin; i < end; ++i) {
      const std::string_view text = texts[i];
      const auto address = reinterpret_cast<std::uintptr_t>(text.data());
      std::uint16_t& slot = slots[(address ^ text.size() << 40) * kFactor >> (64 - kBits)];
      const std::string_view* const seen = at(slot);
      const bool known = (static_cast<int>(seen->data() == text.data()) &
                          static_cast<int>(seen->size() == text.size())) != 0;
      const std::uint32_t place =
          count ^ ((count ^ slot) & (0U - static_cast<std::uint32_t>(known)));
      slot = places_[i] = static_cast<std::uint16_t>(place);
      ::new (bytes_.data() + place * sizeof text) std::string_view(text);
      count += static_cast<std::uint32_t>(!known);
    }
    count_ = count;
  }

  const std::string_view* at(std::size_t place) const {
    return std::launder(reinterpret_cast<const std::string_view*>(bytes_.data())) + place;
  }

  static constexpr std::uint64_t kFactor = 0x9e3779b97f4a7c15;

  // Of views that are written as they are needed.
  alignas(std::string_view) std::array<std::byte, kMost * sizeof(std::string_view)> bytes_;
  std::array<std::uint16_t, kMost> places_;
  std::size_t count_ = 0;
};

}  // namespace pyrec
