/*
 * The two 8259A interrupt controllers. Called with interrupts off.
 */
#ifndef X86_PIC_H
#define X86_PIC_H

#include <types.h>

/* Moves lines 0 to 15 to vectors from `vector_base` on and masks all but the cascade. */
void pic_init(uint32_t vector_base);

void pic_mask(uint32_t line);
void pic_unmask(uint32_t line);

/* Whether the line has asked for an interrupt that is not being served yet. */
bool pic_pending(uint32_t line);

/*
 * Whether the interrupt that arrived on this line was withdrawn before the CPU asked for it: the
 * PIC then names its line 7 without serving it. The master's end of a spurious slave interrupt is
 * sent here.
 */
bool pic_spurious(uint32_t line);

/* Ends the interrupt that is being served. */
void pic_acknowledge(uint32_t line);

#endif
