#include "resampler.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "guarded.h"
#include "resize_avx2.h"
#include "resize_avx512.h"
#include "resize_rows.h"
#include "taps.h"

namespace vidi::image {
namespace {

// What an EXIF orientation does to a stored picture: upright columns are stored rows where it swaps the sides.
struct Turn {
  bool swapped, columns_mirrored, rows_mirrored;  // of the stored picture
  explicit Turn(int32_t o)
      : swapped(o >= 5), columns_mirrored(o == 2 || o == 3 || o == 7 || o == 8), rows_mirrored(o == 3 || o == 4 || o == 6 || o == 7) {}
};

// Rows are taken four at a time where there are as many: the wider loops share the work on the weights between them.
constexpr int kTogether = 4;

// The pass along rows, with the loop for this CPU and this picture.
class Across {
 public:
  Across(Taps taps, Loops loops) : taps_(std::move(taps)), loops_(loops) {}

  const Taps& taps() const { return taps_; }

  void hold_columns(int64_t left, int64_t right) {
    left_ = left;
#ifdef __x86_64__
    if (loops_ == Loops::avx512 && !quarted_.pack(taps_, left, right)) loops_ = Loops::portable;
    if (loops_ >= Loops::avx2 && !paired_.pack(taps_, left, right)) loops_ = Loops::portable;
#else
    (void)right;
#endif
  }

  // n ≤ kTogether rows.
  void run(const uint8_t* const* src, int n, uint8_t* const* dst) const {
#ifdef __x86_64__
    if (loops_ == Loops::avx512 && n == kTogether) return horizontal_avx512(src, quarted_, dst);
    if (loops_ >= Loops::avx2) {
      for (; n >= 2; n -= 2, src += 2, dst += 2) horizontal_avx2<2>(src, paired_, dst);
      if (n > 0) horizontal_avx2<1>(src, paired_, dst);
      return;
    }
#endif
    for (int i = 0; i < n; i++) horizontal_any(src[i], left_, taps_, dst[i]);
  }

 private:
  Taps taps_;
  Loops loops_;
  int64_t left_ = 0;
#ifdef __x86_64__
  PairedTaps paired_;
  QuartedTaps quarted_;
#endif
};

// The pass down the columns, fed row by row. It keeps as many rows as the longest window has, and those written together, in a ring.
class Down {
 public:
  // Windows that the picture's turn mirrors come last to first.
  Down(Taps taps, bool backwards, Loops loops) : taps_(std::move(taps)), loops_(loops), backwards_(backwards) {
    top_ = taps_.begin();
    window_.resize(taps_.longest());
    ring_.resize(window_.size() + kTogether - 1);
#ifdef __x86_64__
    if (loops_ == Loops::avx512) quarted_.pack(taps_);
#endif
  }

  const Taps& taps() const { return taps_; }

  void hold_bytes(size_t bytes) {
    bytes_ = bytes;
    rows_.resize(bytes * ring_.size());
    for (size_t i = 0; i < ring_.size(); i++) ring_[i] = &rows_[i * bytes];
  }

  // Where the next row but i is to be written, i < kTogether.
  uint8_t* next_row(int i) { return ring_[static_cast<size_t>(written_ + i) % ring_.size()]; }

  // Tells that n more are written. finish(position) is called for each output position whose window is now complete.
  template <typename Finish>
  void rows_written(int n, Finish&& finish) {
    written_ += n;
    while (done_ < taps_.size()) {
      size_t i = backwards_ ? taps_.size() - 1 - done_ : done_;
      if (taps_.first[i] + taps_.count[i] > top_ + written_) return;
      finish(i);
      done_++;
    }
  }

  bool is_last(size_t i) const { return i == (backwards_ ? 0 : taps_.size() - 1); }

  void run(size_t i, uint8_t* dst) {
    const int count = taps_.count[i];
    size_t slot = static_cast<size_t>(taps_.first[i] - top_) % ring_.size();
    for (int k = 0; k < count; k++, slot++) window_[k] = ring_[slot < ring_.size() ? slot : slot -= ring_.size()];
#ifdef __x86_64__
    if (loops_ == Loops::avx512) return vertical_avx512(window_.data(), &quarted_.weights[i * quarted_.groups], count, bytes_, dst);
    if (loops_ >= Loops::avx2) return vertical_avx2(window_.data(), taps_.of(i), count, bytes_, dst);
#endif
    vertical_any(window_.data(), taps_.of(i), count, 0, bytes_, dst);
  }

 private:
  Taps taps_;
  Loops loops_;
  bool backwards_;
  int64_t top_ = 0;      // of the picture: the row that was written first
  int64_t written_ = 0;  // rows
  size_t done_ = 0;      // output positions
  size_t bytes_ = 0;     // of a row
  std::vector<uint8_t> rows_;
  std::vector<uint8_t*> ring_;
  std::vector<const uint8_t*> window_;
#ifdef __x86_64__
  QuartedTaps quarted_;
#endif
};

void check(int64_t width, int64_t height, const vi_resize& r, size_t dst_bytes) {
  // Sides that fit an int keep every product below inside 64 bits; Pillow has the same bound on the input.
  require(width > 0 && height > 0 && width <= INT32_MAX / 4 && height <= INT32_MAX / 4, VIDI_INVALID_ARGUMENT,
          "the picture's size is out of range");
  require(r.width > 0 && r.height > 0 && r.width < INT64_C(1) << 40 && r.height < INT64_C(1) << 40, VIDI_INVALID_ARGUMENT,
          "the resized size is out of range");
  require(r.crop_width > 0 && r.crop_height > 0 && r.crop_width <= 8192 && r.crop_height <= 8192, VIDI_INVALID_ARGUMENT,
          "the crop is 1 to 8192 pixels a side");
  require(r.crop_x >= 0 && r.crop_y >= 0 && r.crop_x <= r.width - r.crop_width && r.crop_y <= r.height - r.crop_height,
          VIDI_INVALID_ARGUMENT, "the crop does not lie inside the resized picture");
  require(r.filter >= VI_LANCZOS && r.filter <= VI_NEAREST, VIDI_INVALID_ARGUMENT, "the filter is one of vi_filter");
  require(r.orientation >= 0 && r.orientation <= 8, VIDI_INVALID_ARGUMENT, "the orientation is 1 to 8, or 0 for none");
  require(dst_bytes == static_cast<size_t>(r.crop_width * r.crop_height * 3), VIDI_SHAPE, "dst is not as long as the crop");
}

}  // namespace

Loops best_loops() {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl"))
    return Loops::avx512;
  if (__builtin_cpu_supports("avx2")) return Loops::avx2;
#endif
  return Loops::portable;
}

vi_box box_of(int64_t width, int64_t height, const vi_box& box) {
  if (box.x0 == 0 && box.y0 == 0 && box.x1 == 0 && box.y1 == 0) return {0, 0, static_cast<double>(width), static_cast<double>(height)};
  // Written so that a NaN fails.
  require(box.x0 >= 0 && box.y0 >= 0 && box.x0 < box.x1 && box.y0 < box.y1 && box.x1 <= static_cast<double>(width) &&
              box.y1 <= static_cast<double>(height),
          VIDI_INVALID_ARGUMENT, "the box does not lie inside the picture");
  return box;
}

class Resampler::Passes {
 public:
  Passes(const Turn& turn, Taps columns, Taps rows, uint8_t* dst, Loops loops)
      : across_(std::move(columns), loops), down_(std::move(rows), turn.rows_mirrored, loops), swapped_(turn.swapped), dst_(dst) {}

  const Taps& columns() const { return across_.taps(); }
  const Taps& rows() const { return down_.taps(); }

  void hold_columns(int64_t left, int64_t right) {
    int64_t first = columns().begin(), end = columns().end();
    size_t needed = static_cast<size_t>(end - first) * 4, crop = columns().size() * 4;
    down_.hold_bytes(swapped_ ? needed : crop);
    if (swapped_) {  // down, then along
      skip_ = static_cast<size_t>(first - left) * 4;
      held_ = needed;
      left = first;
      right = end;
    }
    across_.hold_columns(left, right);
    memory_.resize((crop + (swapped_ ? needed : 0)) * kTogether);
    for (int i = 0; i < kTogether; i++) {
      lines_[i] = &memory_[i * crop];
      if (swapped_) between_[i] = &memory_[kTogether * crop + i * needed];
    }
  }

  void push(const uint8_t* const* rows, int n) {
    for (; n > 0; rows += kTogether, n -= kTogether) push_together(rows, std::min(n, kTogether));
  }

 private:
  void push_together(const uint8_t* const* rows, int n) {
    uint8_t* to[kTogether];
    for (int i = 0; i < n; i++) to[i] = down_.next_row(i);
    if (swapped_) {
      for (int i = 0; i < n; i++) std::memcpy(to[i], rows[i] + skip_, held_);
      down_.rows_written(n, [&](size_t x) {
        down_.run(x, between_[waiting_]);
        waiting_at_[waiting_++] = x;
        if (waiting_ == kTogether || down_.is_last(x)) write_columns();
      });
    } else {
      across_.run(rows, n, to);
      down_.rows_written(n, [&](size_t y) {
        down_.run(y, lines_[0]);
        write_row(y);
      });
    }
  }

  // The line's pixels without their fourth bytes.
  void write_row(size_t y) {
    size_t n = columns().size();
    const uint8_t* line = lines_[0];
    uint8_t* out = dst_ + y * n * 3;
    // Four bytes each, of which the next pixel overwrites the last one: one store instead of two.
    for (size_t x = 0; x + 1 < n; x++, out += 3) std::memcpy(out, line + 4 * x, 4);
    std::memcpy(out, line + 4 * (n - 1), 3);
  }

  // Resizes what waits along its other axis, and writes it as columns, neighbours in the crop.
  void write_columns() {
    across_.run(between_, waiting_, lines_);
    size_t left = waiting_at_[0];
    if (left > waiting_at_[waiting_ - 1]) {  // mirrored, the last one to come is the leftmost
      left = waiting_at_[waiting_ - 1];
      std::reverse(lines_, lines_ + waiting_);
    }
    for (size_t y = 0; y < columns().size(); y++) {
      uint8_t* out = dst_ + (y * rows().size() + left) * 3;
      for (int i = 0; i + 1 < waiting_; i++, out += 3) std::memcpy(out, lines_[i] + 4 * y, 4);
      std::memcpy(out, lines_[waiting_ - 1] + 4 * y, 3);
    }
    waiting_ = 0;
  }

  Across across_;
  Down down_;
  bool swapped_;
  uint8_t* dst_;
  size_t skip_ = 0;  // bytes of a row before the first column that is needed
  size_t held_ = 0;  // bytes from there that are
  std::vector<uint8_t> memory_;
  uint8_t* between_[kTogether] = {};  // swapped: rows after the first pass
  uint8_t* lines_[kTogether] = {};    // rows or columns of the crop
  size_t waiting_at_[kTogether] = {};
  int waiting_ = 0;
};

Resampler::Resampler(int64_t width, int64_t height, const vi_resize& to, uint8_t* dst, size_t dst_bytes, Loops loops) {
  check(width, height, to, dst_bytes);
  vi_box box = box_of(width, height, to.box);
  Turn turn(to.orientation);
  Axis columns{width, box.x0, box.x1, to.width, to.crop_x, to.crop_width, turn.columns_mirrored};
  Axis rows{height, box.y0, box.y1, to.height, to.crop_y, to.crop_height, turn.rows_mirrored};
  if (turn.swapped) {
    std::swap(columns.out, rows.out);
    std::swap(columns.crop, rows.crop);
    std::swap(columns.n, rows.n);
  }
  auto filter = static_cast<vi_filter>(to.filter);
  passes_ = std::make_unique<Passes>(turn, taps_for(columns, filter), taps_for(rows, filter), dst, loops);
}

Resampler::~Resampler() = default;

int64_t Resampler::top() const { return passes_->rows().begin(); }
int64_t Resampler::bottom() const { return passes_->rows().end(); }
int64_t Resampler::left() const { return passes_->columns().begin(); }
int64_t Resampler::right() const { return passes_->columns().end(); }
void Resampler::hold_columns(int64_t left, int64_t right) { passes_->hold_columns(left, right); }
void Resampler::push(const uint8_t* const* rows, int n) { passes_->push(rows, n); }

}  // namespace vidi::image
