#include <algorithm>
#include <atomic>
#include <cstring>

#include "guarded.h"

namespace vidi {
namespace {

std::atomic<int64_t> live{0};

// A status and what its texts point to.
struct Owner : vidi_status {
  std::string message_text, detail_text;
};

void release(vidi_status* status) {
  delete static_cast<Owner*>(status);
  live--;
}

// Handed out when even a status cannot be allocated.
vidi_status no_memory{VIDI_OUT_OF_MEMORY, "not enough memory", "", [](vidi_status*) {}};

// The first line with text on it.
std::string first_line(const char* text) {
  std::string all(text);
  for (size_t start = 0; start < all.size();) {
    size_t end = std::min(all.find('\n', start), all.size());
    std::string line = all.substr(start, end - start);
    line.erase(line.find_last_not_of(" \t\r") + 1);
    if (!line.empty()) return line;
    start = end + 1;
  }
  return "no reason was given";
}

// Texts may come from a model, and have megabytes: the first bytes of one, up to the end of a character.
std::string cut(std::string text, size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<uint8_t>(text[most]) & 0xC0) == 0x80) most--;
  return text.substr(0, most) + "…";
}

constexpr size_t kMessageBytes = 300, kDetailBytes = 4000;

}  // namespace

int64_t live_statuses() noexcept { return live; }

vidi_status* make_status(vidi_code code, const char* message, const char* detail) noexcept {
  try {
    const bool more = std::strcmp(message, detail) != 0 || std::strchr(detail, '\n') != nullptr;
    auto* status = new Owner{{code, "", "", release}, cut(first_line(message), kMessageBytes), cut(more ? detail : "", kDetailBytes)};
    status->message = status->message_text.c_str();
    status->detail = status->detail_text.c_str();
    live++;
    return status;
  } catch (...) {
    return &no_memory;
  }
}

}  // namespace vidi
