// The resize as a stream: rows of a picture go in one after the other, as a decoder makes them, and the crop comes out, turned
// upright. No more than the rows under one tap of the filter are held at any time.
//
// The arithmetic is that of Pillow's Image.resize (libImaging/Resample.c), so the result is the same to the last bit: a pass
// along the rows of the upright picture, rounded to 8 bits, then one down its columns. Pillow turns a picture before it
// resizes it. Here the turn costs nothing: where it swaps the sides, the first pass runs down the stored columns and the
// second along the rows, and where it mirrors, the taps are mirrored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "image.h"

namespace vidi::image {

// Which instructions the inner loops use. All give the same bytes.
enum class Loops { portable, avx2, avx512 };
Loops best_loops();

// The box, or the whole picture if all its edges are 0. Throws vidi::Failure if it does not lie inside the picture.
vi_box box_of(int64_t width, int64_t height, const vi_box& box);

class Resampler {
 public:
  // For a stored picture of width × height pixels. Writes to dst, which must outlive this. Throws vidi::Failure if an argument is
  // out of range.
  Resampler(int64_t width, int64_t height, const vi_resize& to, uint8_t* dst, size_t dst_bytes, Loops loops = best_loops());
  ~Resampler();
  Resampler(const Resampler&) = delete;
  Resampler& operator=(const Resampler&) = delete;

  // What of the stored picture the crop is made of: rows [top, bottom), columns [left, right).
  int64_t top() const;
  int64_t bottom() const;
  int64_t left() const;
  int64_t right() const;

  // Says that rows will hold columns [left, right) of the picture, which include those above. Needed once before push.
  void hold_columns(int64_t left, int64_t right);

  // Takes the next n rows, which begin with row top(), and writes what can now be finished. After row bottom() − 1 all of dst is
  // written. The rows are not kept. Several at once are faster than one by one.
  void push(const uint8_t* const* rows, int n);

 private:
  class Passes;
  std::unique_ptr<Passes> passes_;
};

}  // namespace vidi::image
