#include "jpeg_decoder.h"

#include <cstring>
#include <ctime>

// After jpeglib.h, whose types it uses.
#include <jerror.h>

namespace vidi::image {
namespace {

JpegDecoder* decoder_of(j_common_ptr cinfo) { return static_cast<JpegDecoder*>(cinfo->client_data); }

int64_t thread_cpu_ns() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

constexpr char kEndsEarly[] = "the data ends before the picture does";

vidi_code code_of(int message_code) {
  switch (message_code) {
    case JERR_SOF_UNSUPPORTED:
    case JERR_BAD_PRECISION:
    case JERR_ARITH_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_CCIR601_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_COMPONENT_COUNT:
      return VIDI_UNSUPPORTED_IMAGE;
    case JERR_IMAGE_TOO_BIG:
    case JERR_WIDTH_OVERFLOW:
      return VIDI_IMAGE_TOO_LARGE;
    case JERR_NO_BACKING_STORE:  // the cap on decoder memory: libjpeg would now go on in a file, and has none
      return VIDI_IMAGE_TOO_COMPLEX;
    case JERR_OUT_OF_MEMORY:
      return VIDI_OUT_OF_MEMORY;
    default:
      return VIDI_CORRUPT_IMAGE;
  }
}

[[noreturn]] void on_error_exit(j_common_ptr cinfo) {
  char text[JMSG_LENGTH_MAX];
  cinfo->err->format_message(cinfo, text);
  vidi_code code = code_of(cinfo->err->msg_code);
  if (code == VIDI_IMAGE_TOO_COMPLEX) std::snprintf(text, sizeof(text), "decoding would need more memory than allowed");
  give_up(decoder_of(cinfo), code, text);
}

void warn(JpegDecoder* d, const char* text) {
  if (d->report.warnings++ == 0) std::snprintf(d->report.first_warning, sizeof(d->report.first_warning), "%s", text);
}

bool is_restart(int marker) { return marker >= JPEG_RST0 && marker <= JPEG_RST0 + 7; }

void on_message(j_common_ptr common, int level) {
  if (level >= 0) return;  // traces
  JpegDecoder* d = decoder_of(common);
  const int code = common->err->msg_code;
  // The memory source makes up an end-of-image marker when the data runs out. Half a picture must not pass for one. libjpeg reads
  // ahead, so the picture may be whole all the same; if it is not, the decoder soon lacks bits. An arithmetic decoder does not say so.
  if (code == JWRN_JPEG_EOF) d->ran_out = true;
  // A restart is no end, where the file has restarts at all.
  if (code == JWRN_HIT_MARKER || code == JWRN_MUST_RESYNC)
    d->lacks_data |= d->cinfo.restart_interval == 0 || !is_restart(d->cinfo.unread_marker);
  if (d->ran_out && (!d->in_scans || d->lacks_data || d->cinfo.arith_code)) give_up(d, VIDI_CORRUPT_IMAGE, kEndsEarly);
  char text[JMSG_LENGTH_MAX] = "";
  if (d->report.warnings == 0) common->err->format_message(common, text);  // damaged data may warn many times in each block
  warn(d, text);
}

// Called for every row of blocks in every scan, and for every read of rows. A file of 400 KB can ask for 3,000 scans over 50
// megapixels.
void on_progress(j_common_ptr common) {
  JpegDecoder* d = decoder_of(common);
  auto* cinfo = reinterpret_cast<j_decompress_ptr>(common);
  int64_t pixels = static_cast<int64_t>(cinfo->image_width) * cinfo->image_height;
  if (d->limits.max_scan_pixels > 0 && cinfo->input_scan_number > d->limits.max_scan_pixels / pixels)
    give_up(d, VIDI_IMAGE_TOO_COMPLEX, "the picture is stored in too many scans");
  if (!d->ran_out) d->taken = position(*d);
  check_time(d, static_cast<int64_t>(cinfo->image_width) * DCTSIZE);
}

// a × b / 255, rounded, as Pillow's MULDIV255 (libImaging/ImagingUtils.h).
inline int multiply_unit(int a, int b) {
  int t = a * b + 128;
  return ((t >> 8) + t) >> 8;
}

}  // namespace

void give_up(JpegDecoder* d, vidi_code code, const char* message) {
  d->code = code;
  std::snprintf(d->message, sizeof(d->message), "%s", message);
  longjmp(d->on_error, 1);
}

void start(JpegDecoder* d, const uint8_t* data, size_t size) {
  jpeg_create_decompress(&d->cinfo);
  d->cinfo.client_data = d;
  d->cinfo.progress = &d->progress;
  d->data = data;
  d->size = size;
  if (d->limits.max_decoder_bytes > 0) d->cinfo.mem->max_memory_to_use = static_cast<long>(d->limits.max_decoder_bytes);
  jpeg_mem_src(&d->cinfo, data, size);
  jpeg_read_header(&d->cinfo, TRUE);
  int64_t pixels = static_cast<int64_t>(d->cinfo.image_width) * d->cinfo.image_height;
  if (pixels == 0) give_up(d, VIDI_CORRUPT_IMAGE, "the picture has no pixels");
  if (d->limits.max_pixels > 0 && pixels > d->limits.max_pixels) {
    char text[96];
    std::snprintf(text, sizeof(text), "%u × %u pixels", d->cinfo.image_width, d->cinfo.image_height);
    give_up(d, VIDI_IMAGE_TOO_LARGE, text);
  }
  int n = d->cinfo.num_components;
  if (n != 1 && n != 3 && n != 4) give_up(d, VIDI_UNSUPPORTED_IMAGE, "a JPEG has 1, 3 or 4 colour components");
  d->in_scans = true;
}

size_t position(const JpegDecoder& d) { return d.ran_out ? d.size : static_cast<size_t>(d.cinfo.src->next_input_byte - d.data); }

// Every row of the last scan was decoded from bits of the file, or lacks_data would be set. What is left to tell: whether all scans
// are there, and whether those bits were picture data. A download that broke off may have been padded, and padding decodes as
// anything. So the run of equal bytes at the file's end may not begin much before the place where the decoder stopped.
void require_all_rows(JpegDecoder* d) {
  const jpeg_decompress_struct& c = d->cinfo;
  bool whole = !d->lacks_data && !c.arith_code;
  for (int i = 0; i < c.num_components; i++) {
    whole = whole && c.comp_info[i].quant_table != nullptr;  // copied where a scan of the component begins
    for (int k = 0; k < DCTSIZE2 && c.coef_bits != nullptr; k++) whole = whole && c.coef_bits[i][k] == 0;
  }
  constexpr size_t kReadAhead = sizeof(uint64_t);  // the bits that libjpeg keeps
  size_t padding = d->size;
  const uint8_t last = d->data[d->size - 1];
  while (last != 0xFF && padding > 0 && d->data[padding - 1] == last) padding--;  // 0xFF repeated is never picture data
  if (!whole || d->taken > padding + kReadAhead) give_up(d, VIDI_CORRUPT_IMAGE, kEndsEarly);
  warn(d, "the end marker is missing");
}

void choose_output(JpegDecoder* d, int32_t eighths) {
  d->cinfo.scale_num = static_cast<unsigned>(eighths);
  d->cinfo.scale_denom = 8;
  d->cinfo.out_color_space = d->cinfo.num_components == 4 ? JCS_CMYK : JCS_EXT_RGBA;
  d->cinfo.dct_method = JDCT_ISLOW;
  d->cinfo.do_fancy_upsampling = TRUE;
  jpeg_calc_output_dimensions(&d->cinfo);
}

// The clock of a thread is a system call: a row of a small picture costs no more than that. It is read after so many pixels as
// take about a millisecond.
void check_time(JpegDecoder* d, int64_t pixels) {
  constexpr int64_t kBetween = 1 << 17;
  d->unclocked += pixels;
  if (d->deadline_ns == 0 || d->unclocked < kBetween) return;
  d->unclocked = 0;
  if (thread_cpu_ns() > d->deadline_ns) give_up(d, VIDI_IMAGE_TOO_COMPLEX, "decoding takes longer than allowed");
}

void prepare(JpegDecoder* d, const vi_jpeg_limits& limits) {
  std::memset(d, 0, sizeof(*d));
  d->limits = limits;
  constexpr int64_t kForEver = INT64_MAX / 4 / 1'000'000;
  if (limits.max_cpu_ms > 0 && limits.max_cpu_ms < kForEver) d->deadline_ns = thread_cpu_ns() + limits.max_cpu_ms * 1'000'000;
  d->cinfo.err = jpeg_std_error(&d->errors);
  d->errors.error_exit = on_error_exit;
  d->errors.emit_message = on_message;
  d->progress.progress_monitor = on_progress;
  // on_error_exit may be called before start() sets it: jpeg_create_decompress keeps client_data.
  d->cinfo.client_data = d;
}

void cmyk_to_rgb(uint8_t* row, uint32_t width) {
  for (uint32_t x = 0; x < width; x++, row += 4) {
    int white = row[3];  // inverted: 255 − K
    for (int c = 0; c < 3; c++) {
      int v = white - multiply_unit(255 - row[c], white);
      row[c] = static_cast<uint8_t>(v < 0 ? 0 : v);
    }
    row[3] = 255;
  }
}

}  // namespace vidi::image
