/*
 * What an address belongs to: for panics, and for the command `who`.
 */
#ifndef ADDRESS_H
#define ADDRESS_H

#include <types.h>

#define ADDRESS_TEXT_MAX 128

struct address_text {
    char what[ADDRESS_TEXT_MAX];      /* what it belongs to */
    char allocated[ADDRESS_TEXT_MAX]; /* of the heap: who allocated it; empty if that is unknown */
    char freed[ADDRESS_TEXT_MAX];     /* and who gave it back */
    char directory[ADDRESS_TEXT_MAX]; /* the entry of the page directory, in words */
    char table[ADDRESS_TEXT_MAX];     /* the entry of the page table; empty without a table */
};

/*
 * Describes any address. Takes no lock and allocates nothing, and reads only what it has found to
 * be mapped, so that it serves where everything else is broken. If others may change the heap
 * meanwhile, the caller turns interrupts off.
 */
void address_describe(vaddr_t address, struct address_text *text);

/* Prints the description, a line for each text, the first with the address before it. */
void address_print(vaddr_t address, const struct address_text *text);

/*
 * Formats the place in the kernel's text as "function+0xOFFSET file:line", without the last where
 * it is not known; "?+0x0" outside. A return address counts for the call before it.
 */
void address_format_code(char *text, size_t size, uint32_t address, bool is_return_address);

#endif
