/*
 * Pieces of fixed size, cut from pages: a list of the free ones runs through the pieces themselves.
 */
#include "mem/layout.h"
#include <lib/bits.h>
#include <lib/string.h>
#include <panic.h>
#include <usb/host.h>
#include <usb/pool.h>

static void push(struct usb_pool *pool, void *piece)
{
    *(void **)piece = pool->first_free;
    pool->first_free = piece;
    pool->free++;
}

/* From the last piece to the first, so that the first is taken first. */
static void add_page(struct usb_pool *pool, uint8_t *page)
{
    pool->pages[pool->page_count++] = page;
    for (uint32_t offset = PAGE_SIZE; offset > 0; offset -= pool->piece_size)
        push(pool, page + offset - pool->piece_size);
    pool->total += PAGE_SIZE / pool->piece_size;
}

bool usb_pool_init(struct usb_pool *pool, uint32_t piece_size, uint32_t pages)
{
    ASSERT(is_power_of_two(piece_size) && piece_size >= USB_POOL_MIN_PIECE &&
           piece_size <= PAGE_SIZE);
    ASSERT(pages >= 1 && pages <= USB_POOL_PAGES);

    *pool = (struct usb_pool){ .piece_size = piece_size };
    for (uint32_t i = 0; i < pages; i++) {
        void *page = usb_alloc_page();
        if (page == NULL) {
            usb_pool_destroy(pool);
            return false;
        }
        add_page(pool, page);
    }
    return true;
}

void usb_pool_destroy(struct usb_pool *pool)
{
    for (uint32_t i = 0; i < pool->page_count; i++)
        usb_free_page(pool->pages[i]);
    *pool = (struct usb_pool){ 0 };
}

void *usb_pool_take(struct usb_pool *pool)
{
    void *piece = pool->first_free;

    if (piece == NULL)
        return NULL;
    pool->first_free = *(void **)piece;
    pool->free--;
    return memset(piece, 0, pool->piece_size);
}

void usb_pool_give(struct usb_pool *pool, void *piece)
{
    ASSERT(usb_pool_owns(pool, usb_phys(piece)));
    ASSERT(pool->free < pool->total);
    push(pool, piece);
}

bool usb_pool_owns(const struct usb_pool *pool, uint32_t address)
{
    if (!is_aligned(address, pool->piece_size))
        return false;
    for (uint32_t i = 0; i < pool->page_count; i++) {
        if (round_down(address, PAGE_SIZE) == usb_phys(pool->pages[i]))
            return true;
    }
    return false;
}
