#include "open.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char* copy_text(const char* text) {
  char* copy = malloc(strlen(text) + 1);
  return copy ? strcpy(copy, text) : NULL;
}

char* native_open(const char* path, const native_function* functions) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) return copy_text(dlerror());
  for (const native_function* f = functions; f->name != NULL; f++) {
    void* found = dlsym(library, f->name);
    if (found == NULL) {
      char text[128];
      snprintf(text, sizeof(text), "the library has no function %s", f->name);
      dlclose(library);
      return copy_text(text);
    }
    *(void**)f->pointer = found;
  }
  return NULL;  // never closed: libtorch does not survive being unloaded
}
