/*
 * The linked list, against an array that holds the same objects in the same order.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <lib/list.h>

#define ITEMS 8u

/* The link is not the first member, so that LIST_ENTRY has something to subtract. */
struct item {
    uint32_t value;
    struct list link;
    bool listed;
};

/* `head` holds exactly the `count` items of `expected`, seen from either side. */
static void check_list(struct list *head, struct item *const *expected, size_t count)
{
    struct list *node;
    struct item *item;
    size_t i = 0;

    LIST_FOR_EACH(node, head)
    {
        assert_true(i < count);
        assert_ptr_equal(node, &expected[i]->link);
        assert_ptr_equal(LIST_ENTRY(node, struct item, link), expected[i]);
        assert_ptr_equal(node->next->prev, node);
        assert_ptr_equal(node->prev->next, node);
        i++;
    }
    assert_int_equal(i, count);
    assert_ptr_equal(head->next->prev, head);
    assert_ptr_equal(head->prev->next, head);

    i = 0;
    LIST_FOR_EACH_ENTRY(item, head, link)
    assert_ptr_equal(item, expected[i++]);
    assert_int_equal(i, count);
    assert_null(item);

    assert_int_equal(list_empty(head), count == 0);
    assert_ptr_equal(list_first(head), count == 0 ? NULL : &expected[0]->link);
}

static void test_empty(void **state)
{
    struct list fixed = LIST_INITIALIZER(fixed);
    struct list head;
    struct item *item;
    struct item *following;

    (void)state;
    list_init(&head);
    check_list(&head, NULL, 0);
    check_list(&fixed, NULL, 0);
    assert_null(list_pop_front(&head));
    LIST_FOR_EACH_ENTRY_SAFE(item, following, &head, link)
    fail();
    assert_null(item);
}

/*
 * push_back 0, push_back 1, push_front 2, insert 3 before 1:   2 0 3 1
 */
static void test_order(void **state)
{
    struct item items[4];
    struct list head;

    (void)state;
    list_init(&head);
    list_push_back(&head, &items[0].link);
    list_push_back(&head, &items[1].link);
    list_push_front(&head, &items[2].link);
    list_insert_before(&items[1].link, &items[3].link);
    check_list(&head, (struct item *[]){ &items[2], &items[0], &items[3], &items[1] }, 4);
    assert_ptr_equal(list_pop_front(&head), &items[2].link);
    check_list(&head, (struct item *[]){ &items[0], &items[3], &items[1] }, 3);
}

static void test_remove(void **state)
{
    struct item items[3];
    struct list head;

    (void)state;
    for (size_t removed = 0; removed < 3; removed++) {
        struct item *rest[2];
        size_t count = 0;

        list_init(&head);
        for (size_t i = 0; i < 3; i++) {
            list_push_back(&head, &items[i].link);
            if (i != removed)
                rest[count++] = &items[i];
        }
        list_remove(&items[removed].link);
        check_list(&head, rest, 2);
        assert_true(list_empty(&items[removed].link));

        /* A second removal changes nothing. */
        list_remove(&items[removed].link);
        check_list(&head, rest, 2);
        assert_true(list_empty(&items[removed].link));
    }
}

/* A search that ends in break keeps what it found; one that does not ends with NULL. */
static void test_search(void **state)
{
    struct item items[3] = { { .value = 10 }, { .value = 11 }, { .value = 12 } };
    struct list head;
    struct item *item;

    (void)state;
    list_init(&head);
    for (size_t i = 0; i < 3; i++)
        list_push_back(&head, &items[i].link);
    LIST_FOR_EACH_ENTRY(item, &head, link)
    {
        if (item->value == 11)
            break;
    }
    assert_ptr_equal(item, &items[1]);
    LIST_FOR_EACH_ENTRY(item, &head, link)
    {
        if (item->value == 99)
            break;
    }
    assert_null(item);
}

/* The safe loop may free what it visits. */
static void test_free_while_visiting(void **state)
{
    struct list head;
    struct item *item;
    struct item *following;
    uint32_t visited = 0;

    (void)state;
    list_init(&head);
    for (uint32_t i = 0; i < ITEMS; i++) {
        item = malloc(sizeof(*item));
        assert_non_null(item);
        item->value = i;
        list_push_back(&head, &item->link);
    }
    LIST_FOR_EACH_ENTRY_SAFE(item, following, &head, link)
    {
        assert_int_equal(item->value, visited++);
        list_remove(&item->link);
        memset(item, 0xa5, sizeof(*item));
        free(item);
    }
    assert_int_equal(visited, ITEMS);
    assert_null(item);
    assert_true(list_empty(&head));
}

struct model {
    struct item *items[ITEMS];
    size_t count;
};

static void model_insert(struct model *model, size_t at, struct item *item)
{
    memmove(&model->items[at + 1], &model->items[at], (model->count - at) * sizeof(item));
    model->items[at] = item;
    model->count++;
    item->listed = true;
}

static size_t model_remove(struct model *model, const struct item *item)
{
    size_t at = 0;

    while (model->items[at] != item)
        at++;
    model->items[at]->listed = false;
    model->count--;
    memmove(&model->items[at], &model->items[at + 1], (model->count - at) * sizeof(item));
    return at;
}

static void insert_somewhere(struct list *head, struct model *model, struct item *item,
                             uint32_t choice)
{
    size_t at = choice / 3 % (model->count + 1);

    switch (choice % 3) {
    case 0:
        list_push_back(head, &item->link);
        model_insert(model, model->count, item);
        break;
    case 1:
        list_push_front(head, &item->link);
        model_insert(model, 0, item);
        break;
    default:
        list_insert_before(at == model->count ? head : &model->items[at]->link, &item->link);
        model_insert(model, at, item);
    }
}

static void test_random_operations(void **state)
{
    struct item items[ITEMS] = { 0 };
    struct model model = { .count = 0 };
    struct list head;
    uint32_t random = 4711;

    (void)state;
    list_init(&head);
    for (int i = 0; i < 20000; i++) {
        random = random * 1664525u + 1013904223u;
        struct item *item = &items[random >> 29];

        if (!item->listed) {
            insert_somewhere(&head, &model, item, random >> 8);
        } else if (random >> 28 & 1) {
            list_remove(&item->link);
            model_remove(&model, item);
        } else {
            struct item *first = LIST_ENTRY(list_pop_front(&head), struct item, link);
            assert_int_equal(model_remove(&model, first), 0);
        }
        check_list(&head, model.items, model.count);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_remove),
        cmocka_unit_test(test_search),
        cmocka_unit_test(test_free_while_visiting),
        cmocka_unit_test(test_random_operations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
