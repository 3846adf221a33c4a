/*
 * A doubly linked list whose links lie inside the objects that it holds.
 *
 * A list is a ring: its head is a `struct list` of its own, and so is the link in every object.
 * An empty list is a head that points at itself. A link that is in no list points at itself too
 * (after list_init or list_remove), so that list_empty(&object->link) tells whether the object is
 * in no list, and removing it once more changes nothing.
 *
 * Invariant: node->next->prev == node and node->prev->next == node for every node.
 * Whoever owns the list keeps others out: nothing here locks.
 */
#ifndef LIB_LIST_H
#define LIB_LIST_H

#include <types.h>

struct list {
    struct list *next;
    struct list *prev;
};

/* For a head with static storage: struct list ready = LIST_INITIALIZER(ready); */
#define LIST_INITIALIZER(head)                                                                     \
    {                                                                                              \
        .next = &(head), .prev = &(head)                                                           \
    }

/* The object of `type` whose `member` is the link `node`. */
#define LIST_ENTRY(node, type, member) ((type *)list_object((node), offsetof(type, member)))

/* The same, but NULL if `node` is the head, that is, past either end. */
#define LIST_ENTRY_OR_NULL(node, head, type, member)                                               \
    ((node) == (head) ? NULL : LIST_ENTRY(node, type, member))

/* Visits every link in order; the body must not remove `node`. */
#define LIST_FOR_EACH(node, head)                                                                  \
    for ((node) = (head)->next; (node) != (head); (node) = (node)->next)

/*
 * Visits every object in order; the body must not remove `entry`. After the loop `entry` is NULL,
 * unless it was left by break: searching needs no other variable.
 */
#define LIST_FOR_EACH_ENTRY(entry, head, member)                                                   \
    for ((entry) = LIST_ENTRY_OR_NULL((head)->next, (head), typeof(*(entry)), member);             \
         (entry) != NULL;                                                                          \
         (entry) = LIST_ENTRY_OR_NULL((entry)->member.next, (head), typeof(*(entry)), member))

/* The same where the body may remove or free `entry`, but not `following`, the one after it. */
#define LIST_FOR_EACH_ENTRY_SAFE(entry, following, head, member)                                   \
    for ((entry) = LIST_ENTRY_OR_NULL((head)->next, (head), typeof(*(entry)), member);             \
         (entry) != NULL && (LIST_FOLLOWING(entry, following, head, member), true);                \
         (entry) = (following))
#define LIST_FOLLOWING(entry, following, head, member)                                             \
    ((following) = LIST_ENTRY_OR_NULL((entry)->member.next, (head), typeof(*(entry)), member))

/* The object whose link `node` lies `offset` bytes behind its start: LIST_ENTRY with a type. */
static inline void *list_object(const struct list *node, size_t offset)
{
    return (char *)node - offset;
}

/* Makes `node` an empty list, or a link that is in no list. What it held before is forgotten. */
static inline void list_init(struct list *node)
{
    node->next = node;
    node->prev = node;
}

static inline bool list_empty(const struct list *head)
{
    return head->next == head;
}

/* Puts `node`, which is in no list, right before `position` (a link in a list, or a head). */
static inline void list_insert_before(struct list *position, struct list *node)
{
    node->next = position;
    node->prev = position->prev;
    position->prev->next = node;
    position->prev = node;
}

static inline void list_push_back(struct list *head, struct list *node)
{
    list_insert_before(head, node);
}

static inline void list_push_front(struct list *head, struct list *node)
{
    list_insert_before(head->next, node);
}

/* Takes `node`, which must be initialised, out of its list, if it is in one. */
static inline void list_remove(struct list *node)
{
    struct list *next = node->next, *prev = node->prev;

    prev->next = next;
    next->prev = prev;
    list_init(node);
}

/* The first link, or NULL if the list is empty. */
static inline struct list *list_first(const struct list *head)
{
    return list_empty(head) ? NULL : head->next;
}

/* Takes the first link out and returns it, or NULL if the list is empty. */
static inline struct list *list_pop_front(struct list *head)
{
    struct list *node = head->next;

    if (node == head)
        return NULL;
    list_remove(node);
    return node;
}

#endif
