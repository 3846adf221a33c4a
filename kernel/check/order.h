/*
 * In what order locks have been taken: a graph whose edges say "while this one was held, that one
 * was taken". Taking locks in the direction of edges only, threads never wait in a circle. Pure;
 * the caller sees to it that it is used by one at a time.
 */
#ifndef CHECK_ORDER_H
#define CHECK_ORDER_H

#include "check/trace.h"
#include <types.h>

struct order_edge {
    const void *held, *taken;
    struct check_trace held_since, taken_at;
};

#define ORDER_EDGES 128u /* when there are more, all are forgotten and seen anew */
#define ORDER_PATH  8u   /* edges of the longest path that is looked for */

/* Whether `taken` was taken before while `held` was held. */
bool order_known(const void *held, const void *taken);

/*
 * The path of edges from one lock to another: fills `path` and returns how many edges it has; 0
 * when there is none.
 */
uint32_t order_path(const void *from, const void *to, const struct order_edge *path[ORDER_PATH]);

/* Adds an edge that is not known. */
void order_add(const struct order_edge *edge);

/* Forgets all edges of a lock. */
void order_forget(const void *lock);

#endif
