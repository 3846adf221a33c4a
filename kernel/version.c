/*
 * The only file that is compiled with the version, so that a new one compiles nothing else anew.
 */
#include <version.h>

const char kernel_version[] = KERNEL_VERSION;
