// How a call into one of the C++ libraries fails: the C side of it, which all of them share.
//
// A function that can fail returns vidi_status*: NULL means success, anything else describes the
// failure and must be given to vidi_status_free once, by whom it was returned to. There is no global
// or thread-local error text. No C++ exception leaves a library.
#ifndef VIDI_STATUS_H
#define VIDI_STATUS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

// Numbered as in cgo/native/errors.go.
typedef enum vidi_code {
  VIDI_OK = 0,
  VIDI_INVALID_ARGUMENT = 1,    // the caller's mistake: NULL, a bad size, an unknown option
  VIDI_NOT_FOUND = 2,           // no such file, or it cannot be read
  VIDI_BAD_MODEL = 3,           // libtorch cannot load the file, or its output is not one tensor
  VIDI_SHAPE = 4,               // a tensor or a buffer has another shape or element type than the call needs
  VIDI_OUT_OF_MEMORY = 5,       // an allocation failed
  VIDI_UNAVAILABLE = 6,         // this build or this CPU cannot do that
  VIDI_FORWARD_FAILED = 7,      // the model itself failed while it ran
  VIDI_CORRUPT_IMAGE = 8,       // the picture is damaged or ends early
  VIDI_IMAGE_TOO_LARGE = 9,     // more pixels than the limit
  VIDI_IMAGE_TOO_COMPLEX = 10,  // would cost more decoding time or memory than the limit
  VIDI_UNSUPPORTED_IMAGE = 11,  // a valid picture of a kind that the decoder cannot read
  VIDI_INTERNAL = 12,           // a bug: anything not foreseen
  VIDI_TOO_SLOW = 13,           // the model was not done in the time that it may take
} vidi_code;

typedef struct vidi_status vidi_status;
struct vidi_status {
  vidi_code code;
  const char* message;                   // one UTF-8 line without a stack trace; lives as long as the status
  const char* detail;                    // the full text for logs (it may hold source lines and addresses), "" if there is no more
  void (*release)(vidi_status* status);  // of the library that made it
};

static inline void vidi_status_free(vidi_status* status) {
  if (status != NULL) status->release(status);
}

// These take NULL for success.
static inline vidi_code vidi_status_code(const vidi_status* status) { return status != NULL ? status->code : VIDI_OK; }
static inline const char* vidi_status_message(const vidi_status* status) { return status != NULL ? status->message : ""; }
static inline const char* vidi_status_detail(const vidi_status* status) { return status != NULL ? status->detail : ""; }

#ifdef __cplusplus
}
#endif
#endif  // VIDI_STATUS_H
