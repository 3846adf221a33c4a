/*
 * The order of locks: a short list of edges, searched from end to end. A kernel has a handful of
 * locks, and an edge is looked for only where two are held at once.
 */
#include "check/order.h"

static struct order_edge edges[ORDER_EDGES];
static uint32_t edge_count;

bool order_known(const void *held, const void *taken)
{
    for (uint32_t i = 0; i < edge_count; i++) {
        if (edges[i].held == held && edges[i].taken == taken)
            return true;
    }
    return false;
}

/* Looks for a path of exactly `length` edges. */
static bool find_path(const void *from, const void *to, const struct order_edge **path,
                      uint32_t length)
{
    for (uint32_t i = 0; i < edge_count; i++) {
        const struct order_edge *edge = &edges[i];
        if (edge->held != from || (length == 1 && edge->taken != to))
            continue;
        path[0] = edge;
        if (length == 1 || find_path(edge->taken, to, path + 1, length - 1))
            return true;
    }
    return false;
}

uint32_t order_path(const void *from, const void *to, const struct order_edge *path[ORDER_PATH])
{
    for (uint32_t length = 1; length <= ORDER_PATH; length++) {
        if (find_path(from, to, path, length))
            return length;
    }
    return 0;
}

void order_add(const struct order_edge *edge)
{
    if (edge_count == ORDER_EDGES)
        edge_count = 0;
    edges[edge_count++] = *edge;
}

void order_forget(const void *lock)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < edge_count; i++) {
        if (edges[i].held != lock && edges[i].taken != lock)
            edges[kept++] = edges[i];
    }
    edge_count = kept;
}
