#include "status.h"

#include <cstring>

namespace tb {

Live& live() {
  static Live counters;
  return counters;
}

namespace {

// Handed out when even a status cannot be allocated; tb_status_free knows it.
tb_status* no_memory() {
  static tb_status status{TB_OUT_OF_MEMORY, "not enough memory", ""};
  return &status;
}

// libtorch's messages go on for pages. The first line says what happened, except for errors inside TorchScript, whose first
// lines only say that there is a traceback: there the last line is the reason.
std::string first_line(const char* text) {
  std::string s(text);
  const char* traceback = "Traceback of TorchScript";
  if (s.find(traceback) != std::string::npos) {
    size_t end = s.find_last_not_of(" \n");
    s.resize(end == std::string::npos ? 0 : end + 1);
    size_t start = s.rfind('\n');
    if (start != std::string::npos) s.erase(0, start + 1);
  }
  size_t newline = s.find('\n');
  if (newline != std::string::npos) s.resize(newline);
  return s;
}

}  // namespace

tb_status* make_status(tb_code code, const char* message, const char* detail) noexcept {
  try {
    auto* status = new tb_status{code, first_line(message), std::strcmp(message, detail) == 0 && !std::strchr(detail, '\n') ? "" : detail};
    live().statuses++;
    return status;
  } catch (...) {
    return no_memory();
  }
}

}  // namespace tb

extern "C" {

tb_code tb_status_code(const tb_status* status) { return status ? status->code : TB_OK; }
const char* tb_status_message(const tb_status* status) { return status ? status->message.c_str() : ""; }
const char* tb_status_detail(const tb_status* status) { return status ? status->detail.c_str() : ""; }

void tb_status_free(tb_status* status) {
  if (status == nullptr || status == tb::no_memory()) return;
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
