/*
 * The VGA text screen.
 */
#ifndef DRIVERS_VGA_TEXT_H
#define DRIVERS_VGA_TEXT_H

#include <types.h>

/*
 * Registers the screen as a console. phys: where its memory lies, in identity-mapped low memory;
 * columns and rows: 80 and 25, the mode that GRUB leaves; false for any other.
 */
bool vga_text_init(paddr_t phys, uint32_t columns, uint32_t rows);

#endif
