#include <selftest.h>
const char *heap_test_run(void) { return NULL; }
