/*
 * The heap's part of the description of an address (address.h), and what it asks of the rest.
 */
#ifndef ADDRESS_HEAP_H
#define ADDRESS_HEAP_H

#include <address.h>

/* Describes an address of the heap's window, but for the page tables. */
void address_describe_heap(vaddr_t address, struct address_text *out);

/* Whether there is a page, by the entries themselves. Any address, whatever is broken. */
bool address_is_present(vaddr_t address);

#endif
