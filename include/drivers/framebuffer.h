/*
 * The framebuffer that the loader set up, as a screen of cells.
 */
#ifndef DRIVERS_FRAMEBUFFER_H
#define DRIVERS_FRAMEBUFFER_H

#include <drivers/screen.h>
#include <multiboot2.h>

/*
 * The screen in cells, cleared if it can be reached before paging is up. NULL, and in *problem
 * why, when its kind is unknown or it is too small. boot_info_framebuffer_fault() must have nothing
 * against it: drawing goes where the tag says. boot_info() must still be readable by its
 * physical address: an indexed framebuffer's palette is read from it.
 */
const struct screen_device *framebuffer_open(const struct multiboot2_framebuffer *fb,
                                             const char **problem);

#endif
