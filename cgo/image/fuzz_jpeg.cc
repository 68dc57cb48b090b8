// Fuzzes what is done with a JPEG: probed, decoded whole, and resized while it is decoded.
#include "fuzz.h"

namespace {

using namespace vidi::image::fuzz;

Answer decode(const uint8_t* data, size_t size, int32_t eighths, int fill) {
  vi_jpeg_info info;
  if (vidi_status* refused = vi_jpeg_probe(data, size, &info)) return failure(refused);
  must(info.width > 0 && info.height > 0 && info.decoder_bytes > 0, "a probed picture has a size", std::to_string(info.width));
  vi_jpeg_limits limits{kMaxPixels, kMaxScanPixels, 64 << 20, 0};
  size_t stride = static_cast<size_t>((static_cast<int64_t>(info.width) * eighths + 7) / 8) * 4;
  size_t bytes = stride * static_cast<size_t>((static_cast<int64_t>(info.height) * eighths + 7) / 8);
  if (static_cast<int64_t>(info.width) * info.height > kMaxPixels) bytes = stride = 4;  // it must not come to writing
  std::unique_ptr<uint8_t[]> dst(new uint8_t[bytes]);
  std::memset(dst.get(), fill, bytes);
  vi_jpeg_report report;
  if (vidi_status* refused = vi_jpeg_decode(data, size, &limits, eighths, dst.get(), stride, bytes, &report)) return failure(refused);
  return {VIDI_OK, report.first_warning, std::string(dst.get(), dst.get() + bytes), report.warnings};
}

Answer resize(const uint8_t* data, size_t size, int32_t eighths, int fill) {
  vi_jpeg_limits limits{kMaxPixels, kMaxScanPixels, 64 << 20, 0};
  vi_resize to = crop_for(size);
  std::unique_ptr<uint8_t[]> dst(new uint8_t[kCropBytes]);
  std::memset(dst.get(), fill, kCropBytes);
  vi_jpeg_report report;
  if (vidi_status* refused = vi_jpeg_resize(data, size, &limits, eighths, &to, dst.get(), kCropBytes, &report)) return failure(refused);
  return {VIDI_OK, report.first_warning, std::string(dst.get(), dst.get() + kCropBytes), report.warnings};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  if (size == 0) return 0;
  auto data = copy_of(bytes, size);
  int32_t eighths = 1 << (size / 9 % 4);
  // What lay in the buffer before never shows, and the answer is the same each time.
  Answer whole = decode(data.get(), size, eighths, 0x00), crop = resize(data.get(), size, eighths, 0x00);
  must(whole == decode(data.get(), size, eighths, 0xFF), "decoding writes every pixel", whole.text);
  must(crop == resize(data.get(), size, eighths, 0xFF), "resizing writes every pixel", crop.text);
  // Not the other way round: damage below the crop is never seen.
  must(whole.code != VIDI_OK || crop.code == VIDI_OK, "what can be decoded can be resized", crop.text);
  return 0;
}
