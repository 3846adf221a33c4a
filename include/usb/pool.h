/*
 * Pieces of one fixed size for a controller's queue heads and transfer descriptors.
 *
 * The pages are taken at once when the pool is made, so that taking a piece needs no heap, is done
 * in a few steps, and what a controller can serve at most is known from the start. A piece is
 * aligned to its size and so crosses no page. Pure but for usb_alloc_page() and usb_free_page().
 *
 * Nothing here locks: the caller has interrupts off, as for all transfers of a controller.
 */
#ifndef USB_POOL_H
#define USB_POOL_H

#include <types.h>

#define USB_POOL_PAGES     4u
#define USB_POOL_MIN_PIECE 16u

struct usb_pool {
    uint32_t piece_size;
    uint32_t total, free; /* pieces */
    void *first_free;     /* each free piece begins with the address of the next */
    uint32_t page_count;
    void *pages[USB_POOL_PAGES];
};

/*
 * Makes a pool. piece_size: a power of two from USB_POOL_MIN_PIECE to PAGE_SIZE; pages: 1 to
 * USB_POOL_PAGES. False, and nothing is taken, when there are not that many pages.
 */
bool usb_pool_init(struct usb_pool *pool, uint32_t piece_size, uint32_t pages) MUST_CHECK;

/* Gives the pages back, with all pieces. A pool of zeros has none. */
void usb_pool_destroy(struct usb_pool *pool);

/* A piece, all zero, or NULL when none is left. */
void *usb_pool_take(struct usb_pool *pool) MUST_CHECK;

/* Gives a piece back that the controller does not use any more. Panics if it is not the pool's. */
void usb_pool_give(struct usb_pool *pool, void *piece);

/* Whether the address is the first byte of one of the pool's pieces, free or not. */
bool usb_pool_owns(const struct usb_pool *pool, uint32_t address);

#endif
