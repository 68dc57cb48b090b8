#include "status.h"

#include <algorithm>
#include <cstring>

namespace tb {

Live& live() {
  static Live counters;
  return counters;
}

namespace {

// Handed out when even a status cannot be allocated; tb_status_free knows it. Made when the library is loaded: its text is too
// long for a std::string to hold without allocating.
tb_status no_memory{TB_OUT_OF_MEMORY, "not enough memory", ""};

// Whether a line begins like "RuntimeError: ".
bool names_an_error(const std::string& line) {
  size_t end = line.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.");
  return end != 0 && end != std::string::npos && line.compare(end, 2, ": ") == 0;
}

// libtorch's messages go on for pages. The first line with text on it says what happened, except for errors inside TorchScript:
// there tracebacks come first, each with the source round a line marked "<--- HERE", and then "RuntimeError: " and the reason.
std::string reason(const char* text) {
  std::string all(text);
  size_t start = 0;
  bool traced = all.find("Traceback of TorchScript") != std::string::npos;
  if (traced) {
    size_t marker = all.rfind("<--- HERE");
    if (marker != std::string::npos) start = marker;
  }
  std::string first;
  while (start < all.size()) {
    size_t end = std::min(all.find('\n', start), all.size());
    std::string line = all.substr(start, end - start);
    line.erase(line.find_last_not_of(" \t\r") + 1);
    if (first.empty()) first = line;
    if (traced ? names_an_error(line) : !line.empty()) return line;
    start = end + 1;
  }
  return first.empty() ? "no reason was given" : first;
}

// Texts may come from a model, and have megabytes: the first bytes of one, up to the end of a character.
std::string cut(std::string text, size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<uint8_t>(text[most]) & 0xC0) == 0x80) most--;
  return text.substr(0, most) + "…";
}

constexpr size_t kMessageBytes = 300, kDetailBytes = 4000;

}  // namespace

tb_status* make_status(tb_code code, const char* message, const char* detail) noexcept {
  try {
    const bool more = std::strcmp(message, detail) != 0 || std::strchr(detail, '\n') != nullptr;
    auto* status = new tb_status{code, cut(reason(message), kMessageBytes), cut(more ? detail : "", kDetailBytes)};
    live().statuses++;
    return status;
  } catch (...) {
    return &no_memory;
  }
}

}  // namespace tb

extern "C" {

tb_code tb_status_code(const tb_status* status) { return status ? status->code : TB_OK; }
const char* tb_status_message(const tb_status* status) { return status ? status->message.c_str() : ""; }
const char* tb_status_detail(const tb_status* status) { return status ? status->detail.c_str() : ""; }

void tb_status_free(tb_status* status) {
  if (status == nullptr || status == &tb::no_memory) return;
  delete status;
  tb::live().statuses--;
}

void tb_live_counts(tb_live* out) {
  if (out == nullptr) return;
  out->modules = tb::live().modules;
  out->tensors = tb::live().tensors;
  out->statuses = tb::live().statuses;
}

}  // extern "C"
