/*
 * The boot stack, which is there before its guard page.
 */
#ifndef X86_BOOT_STACK_H
#define X86_BOOT_STACK_H

/* DR7: the four bytes at DR0 are watched for writes, in all tasks; bit 10 is always set. */
#define DR7_WATCH   0x000d0602
#define DR7_NOTHING 0x00000400

#ifndef __ASSEMBLER__

#include <types.h>

/* Whether a debug exception says that the stack's last word has been written. */
bool boot_stack_watch_hit(void);

/* The guard page takes over: call once it is unmapped, on the boot stack. */
void boot_stack_is_guarded(void);

#endif /* __ASSEMBLER__ */

#endif
