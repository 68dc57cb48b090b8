// What the library says of itself.
#include <cstdio>

// jpeglib.h needs FILE and size_t to be declared before it.
#include <jpeglib.h>

#include "guarded.h"
#include "image.h"

extern "C" {

void vi_describe(vi_library* out) {
  *out = {};
  out->abi_version = VI_ABI_VERSION;
#ifdef LIBJPEG_TURBO_VERSION_NUMBER
  out->jpeg_version = LIBJPEG_TURBO_VERSION_NUMBER;
#endif
}

int64_t vi_live_statuses(void) { return vidi::live_statuses(); }

}  // extern "C"
