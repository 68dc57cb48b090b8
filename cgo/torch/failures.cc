#include "failures.h"

#include <algorithm>
#include <string>

namespace tb {

Live& live() {
  static Live counters;
  return counters;
}

namespace {

// Whether a line begins like "RuntimeError: ".
bool names_an_error(const std::string& line) {
  size_t end = line.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.");
  return end != 0 && end != std::string::npos && line.compare(end, 2, ": ") == 0;
}

// libtorch's messages go on for pages, of which a status takes the first line with text. In errors inside TorchScript tracebacks come
// first, each with the source round a line marked "<--- HERE", and then "RuntimeError: " and the reason: from there on.
std::string reason(const char* text) {
  std::string all(text);
  if (all.find("Traceback of TorchScript") == std::string::npos) return all;
  const size_t marker = all.rfind("<--- HERE");
  const size_t last = marker == std::string::npos ? 0 : marker;
  for (size_t start = last; start < all.size();) {
    size_t end = std::min(all.find('\n', start), all.size());
    std::string line = all.substr(start, end - start);
    line.erase(line.find_last_not_of(" \t\r") + 1);
    if (names_an_error(line)) return line;
    start = end + 1;
  }
  return all.substr(last);
}

}  // namespace

vidi_status* make_status(vidi_code code, const char* message, const char* detail) noexcept {
  try {
    const bool more = std::strcmp(message, detail) != 0 || std::strchr(detail, '\n') != nullptr;
    return vidi::make_status(code, reason(message).c_str(), more ? detail : "");
  } catch (...) {
    return vidi::make_status(VIDI_OUT_OF_MEMORY, "not enough memory");
  }
}

}  // namespace tb

void tb_live_counts(tb_live* out) {
  if (out == nullptr) return;
  out->modules = tb::live().modules;
  out->tensors = tb::live().tensors;
  out->statuses = vidi::live_statuses();
}
