/*
 * Which kernel this is.
 */
#ifndef VERSION_H
#define VERSION_H

/* As `git describe` named the source when it was built; "unknown" without git. */
extern const char kernel_version[];

#endif
