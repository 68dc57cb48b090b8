// The shim is opened at run time: libtorch costs 0.3 s and 100 MB. loader.c defines every function of shim.h (cgo/native/open.h).
#ifndef TB_LOADER_H
#define TB_LOADER_H

#include "open.h"
#include "shim.h"

// The table for native_open. The first call sets what libtorch reads from the environment when it is opened.
const void* tb_functions(void);

// From now on a system call that a seccomp filter traps is named on standard error, by its number,
// and ends the process by SIGSYS.
void tb_name_trapped_calls(void);

#endif
