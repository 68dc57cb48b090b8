// loader.c defines every function of image.h (cgo/native/open.h).
#ifndef VI_LOADER_H
#define VI_LOADER_H

#include "image.h"
#include "open.h"

// The table for native_open.
const void* vi_functions(void);

#endif
