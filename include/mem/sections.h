/*
 * The kernel image's borders, from linker.ld. Only the addresses of these symbols mean anything.
 */
#ifndef MEM_SECTIONS_H
#define MEM_SECTIONS_H

extern const char _kernel_start[], _kernel_end[];
extern const char _text_start[], _text_end[];
extern const char _rodata_start[], _rodata_end[];
extern const char _bss_start[], _bss_end[];
extern const char _boot_stack_guard[], _boot_stack_bottom[], _boot_stack_top[];

#endif
