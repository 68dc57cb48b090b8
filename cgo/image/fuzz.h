// What the fuzz targets share. A target is called with bytes that libFuzzer makes up, and must come back: AddressSanitizer and
// UBSan watch the memory, and `must` ends the process where an answer breaks a promise of shim.h. `make fuzz-shim` runs them.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "image.h"

namespace vidi::image::fuzz {

[[noreturn]] inline void broken(const char* promise, const std::string& saw) {
  std::fprintf(stderr, "broken promise: %s; saw %s\n", promise, saw.c_str());
  std::abort();
}

inline void must(bool kept, const char* promise, const std::string& saw) {
  if (!kept) broken(promise, saw);
}

// An answer, with a copy of what it wrote.
struct Answer {
  vidi_code code = VIDI_OK;
  std::string text, pixels;
  int64_t warnings = 0;

  bool operator==(const Answer& other) const {
    return code == other.code && text == other.text && pixels == other.pixels && warnings == other.warnings;
  }
};

// Takes over the status. A picture may be at fault; the call, the machine and the shim may not.
inline Answer failure(vidi_status* status) {
  Answer answer{vidi_status_code(status), vidi_status_message(status), "", 0};
  vidi_status_free(status);
  switch (answer.code) {
    case VIDI_CORRUPT_IMAGE:
    case VIDI_UNSUPPORTED_IMAGE:
    case VIDI_IMAGE_TOO_LARGE:
    case VIDI_IMAGE_TOO_COMPLEX:
      break;
    default:
      broken("only the picture is at fault", std::to_string(answer.code) + " " + answer.text);
  }
  must(!answer.text.empty() && answer.text.find('\n') == std::string::npos, "a message is one line", answer.text);
  return answer;
}

// A copy that ends where its memory does, so that reading one byte past it is seen.
inline std::unique_ptr<uint8_t[]> copy_of(const uint8_t* data, size_t size) {
  std::unique_ptr<uint8_t[]> copy(new uint8_t[size]);
  std::memcpy(copy.get(), data, size);
  return copy;
}

// A small crop out of the middle. The file's size chooses the turn and the filter: so seeds are plain pictures.
inline vi_resize crop_for(size_t size) {
  return {64, 48, 9, 5, 40, 33, size % 2 == 0 ? VI_BILINEAR : VI_BICUBIC, static_cast<int32_t>(size % 9), {}};
}
constexpr size_t kCropBytes = 40 * 33 * 3;

constexpr int64_t kMaxPixels = 1 << 16, kMaxScanPixels = 1 << 20;

}  // namespace vidi::image::fuzz
