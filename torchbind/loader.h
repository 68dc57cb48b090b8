// The shim is opened at run time, not linked: a program that imports torchbind starts without libtorch (which costs 0.3 s
// and 100 MB) and builds without it. loader.c defines every function of shim.h as a jump through a table that tb_open fills.
#ifndef TB_LOADER_H
#define TB_LOADER_H

#include "shim.h"

// Opens the shared library at path and looks up every function. Returns NULL, or a text to give to free().
// Must be called once, and succeed, before any function of shim.h.
char* tb_open(const char* path);

// From now on a system call that a seccomp filter traps is named on standard error, by its number,
// and ends the process by SIGSYS.
void tb_name_trapped_calls(void);

#endif
