/*
 * The pages of shadow memory.
 */
#ifndef CHECK_PAGES_H
#define CHECK_PAGES_H

#include <types.h>

/*
 * Maps the whole shadow: one page of zeros for all of it, pages of its own for the kernel's
 * read-only data and data. Paging is on. Panics when there are no frames for them.
 */
void shadow_pages_init(void);

#endif
