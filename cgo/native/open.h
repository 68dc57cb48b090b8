// Libraries that are opened at run time: a program that imports a binding starts without the library,
// and builds without it. NATIVE_FUNCTIONS defines every function of a header as a jump through a table
// that native_open fills.
#ifndef NATIVE_OPEN_H
#define NATIVE_OPEN_H

#include <stddef.h>

typedef struct {
  const char* name;
  void* pointer;  // to the pointer to the function, which is filled; NULL at the end of a table
} native_function;

// Opens the shared library at path and looks up every function of the table, which ends with NULL.
// Returns NULL, or a text to give to free(). Must succeed once before any of them is called.
char* native_open(const char* path, const native_function* functions);

// Takes two macros with a line for each function of a header, those that return a value and those that
// do not: R(result, name, (parameters), (arguments)) and V(name, (parameters), (arguments)). The
// compiler holds each against its declaration, so the lists cannot drift from the header.
#define NATIVE_FUNCTIONS(table, RETURNING, NOTHING) \
  RETURNING(NATIVE_DEFINE)                          \
  NOTHING(NATIVE_DEFINE_VOID)                       \
  static const native_function table[] = {RETURNING(NATIVE_ROW) NOTHING(NATIVE_ROW_VOID){NULL, NULL}};

#define NATIVE_DEFINE(result, name, parameters, arguments) \
  static result(*p_##name) parameters;                     \
  result name parameters { return p_##name arguments; }
#define NATIVE_DEFINE_VOID(name, parameters, arguments) \
  static void(*p_##name) parameters;                    \
  void name parameters { p_##name arguments; }
#define NATIVE_ROW(result, name, parameters, arguments) {#name, (void*)&p_##name},
#define NATIVE_ROW_VOID(name, parameters, arguments) {#name, (void*)&p_##name},

#endif
