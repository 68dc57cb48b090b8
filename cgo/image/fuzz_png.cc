// Fuzzes a PNG that is resized while it is decoded. Checksums are made right first, or hardly a change would get past them.
#include <zlib.h>

#include "fuzz.h"

namespace {

using namespace vidi::image::fuzz;

uint32_t big_endian(const uint8_t* at) {
  return static_cast<uint32_t>(at[0]) << 24 | static_cast<uint32_t>(at[1]) << 16 | static_cast<uint32_t>(at[2]) << 8 | at[3];
}

// Except where the last byte is odd: wrong checksums are to be met with, too.
void repair_checksums(uint8_t* data, size_t size) {
  if (data[size - 1] % 2 != 0) return;
  for (size_t at = 8; at + 12 <= size;) {
    size_t length = big_endian(data + at);
    if (length > size - at - 12) return;
    uint8_t* sum_at = data + at + 8 + length;
    auto sum = static_cast<uint32_t>(crc32(0, data + at + 4, static_cast<uInt>(length + 4)));
    for (int i = 0; i < 4; i++) sum_at[i] = static_cast<uint8_t>(sum >> (24 - 8 * i));
    at += 12 + length;
  }
}

Answer resize(const uint8_t* data, size_t size, int fill) {
  vi_resize to = crop_for(size);
  std::unique_ptr<uint8_t[]> dst(new uint8_t[kCropBytes]);
  std::memset(dst.get(), fill, kCropBytes);
  int64_t resize_ns;
  if (vidi_status* refused = vi_png_resize(data, size, kMaxPixels, 0, &to, dst.get(), kCropBytes, &resize_ns)) return failure(refused);
  return {VIDI_OK, "", std::string(dst.get(), dst.get() + kCropBytes), 0};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) return 0;
  auto data = copy_of(bytes, size);
  repair_checksums(data.get(), size);
  Answer first = resize(data.get(), size, 0x00);
  must(first == resize(data.get(), size, 0xFF), "resizing writes every pixel, the same each time", first.text);
  return 0;
}
