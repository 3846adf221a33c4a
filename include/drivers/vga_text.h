/*
 * The VGA text screen.
 */
#ifndef DRIVERS_VGA_TEXT_H
#define DRIVERS_VGA_TEXT_H

#include <drivers/screen.h>

#define VGA_TEXT_PHYS 0xb8000u

/*
 * The screen, whose memory begins at `phys`, in cells. NULL, and in *problem why, when it does not
 * lie in VGA memory or has other than 80 x 25 cells, the mode that GRUB and every BIOS leave.
 */
const struct screen_device *vga_text_open(paddr64_t phys, uint32_t columns, uint32_t rows,
                                          const char **problem);

#endif
