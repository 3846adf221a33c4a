/*
 * The guarded kmalloc(): what runs past the end of an allocation is seen, whatever its size, where
 * it lies and how it got its size; and the heap below places it as the model says.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include <heap.h>
#include "heap_arena.h"
#include "heap_model.h"
#include "mem/guard.h"
#include "mem/heap_core.h"
#include "support.h"

#define LARGEST 700u

static const size_t windows[] = { 64 * KIB, MIB }; /* without chunks, and with them */

static void start(size_t window)
{
    reset_small(window);
    if (window == MIB)
        assert_non_null(kmalloc(400000));
}

static void free_stops(const char *text, void *ptr)
{
    EXPECT_PANIC(text, kfree(ptr));
    sys.spinning = false;
}

static void realloc_stops(const char *text, void *ptr, size_t size)
{
    EXPECT_PANIC(text, krealloc(ptr, size) == NULL ? fail() : (void)0);
    sys.spinning = false;
}

static void test_all_that_was_asked_for_may_be_used(void **state)
{
    (void)state;
    for (size_t w = 0; w < ARRAY_SIZE(windows); w++) {
        start(windows[w]);
        for (size_t size = 1; size <= LARGEST; size++) {
            uint8_t *ptr = kmalloc(size);
            assert_non_null(ptr);
            assert_int_equal(kmalloc_usable_size(ptr), size);
            memset(ptr, 0, size);
            kfree(ptr);
        }
        check_sound();
    }
}

/* One byte behind the end, whatever is written, but for the one value that stands there anyway. */
static void test_one_byte_too_many(void **state)
{
    static const uint8_t values[] = { 0, 1, 0x41, 0x7f, 0xff };

    (void)state;
    for (size_t w = 0; w < ARRAY_SIZE(windows); w++) {
        for (size_t size = 1; size <= LARGEST; size++) {
            start(windows[w]);
            uint8_t *ptr = kmalloc(size), *behind = kmalloc(size);
            uint8_t before = ptr[size];
            ptr[size] = values[size % ARRAY_SIZE(values)];
            if (ptr[size] == before)
                ptr[size] ^= 0x55;
            free_stops("overflow", ptr);
            realloc_stops("overflow", ptr, 2 * size);
            ptr[size] = before;
            kfree(behind);
            kfree(ptr);
            check_sound();
        }
    }
}

/*
 * Text that runs on into the lowest byte of an object's last word, and makes it lead to the canary
 * of the third object behind:
 *
 *   | payload, 24 bytes | xxxx | x, owner | 2 objects | payload | canary | owner |
 */
static void test_text_that_leads_to_another_canary(void **state)
{
    uint8_t *objects[4];

    (void)state;
    start(MIB);
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++)
        objects[i] = kmalloc(24);
    assert_ptr_equal(objects[3], objects[0] + 'x' - 24);
    memset(objects[0] + 24, 'x', 5);
    free_stops("overflow", objects[0]);
}

/* The last object of a chunk that ends where the pages do, and whose last word leads beyond. */
static void test_overflow_where_the_pages_end(void **state)
{
    (void)state;
    for (size_t fill = 16; fill < 8 * KIB; fill += 8) {
        start(MIB);
        assert_non_null(kmalloc_aligned(fill, 16));
        for (uint32_t i = 0; i < 32; i++) {
            uint8_t *object = kmalloc(8);
            if ((vaddr_t)object + 16 == first_fit.mapped - HEAP_ALIGN) {
                object[12] = 0xff;
                free_stops("overflow", object);
                return;
            }
        }
    }
    fail();
}

/* What is overflowed is still listed with who asked for it. */
static void test_an_overflowed_one_is_listed_with_its_owner(void **state)
{
    struct heap_allocation before, after;

    (void)state;
    start(64 * KIB);
    uint8_t *ptr = kmalloc(100);
    assert_true(heap_next_allocation(0, &before));
    ptr[100] ^= 1;
    assert_true(heap_next_allocation(0, &after));
    assert_int_equal(after.owner, before.owner);
    assert_int_equal(after.size, before.size);
}

/* Resized in place, the canary of the former size is not taken for that of the new one. */
static void test_canary_of_a_former_size(void **state)
{
    static const size_t sizes[][2] = {
        { 100, 200 }, { 24, 20 }, { 20, 24 }, { 40, 1 }, { 200, 9 }
    };

    (void)state;
    for (size_t w = 0; w < ARRAY_SIZE(windows); w++) {
        for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
            start(windows[w]);
            size_t former = sizes[i][0], size = sizes[i][1];
            uint8_t *ptr = kmalloc(former);
            ptr = krealloc(ptr, size);
            size_t room = heap_usable_size(ptr, "test");
            ptr[size] ^= 1;
            if (former < room)
                *(uint8_t *)guard_word((vaddr_t)ptr, room) = (uint8_t)(room - former);
            free_stops("overflow", ptr);
        }
    }
}

/* Where the former canary was there are no pages any more. */
static void test_resized_to_little(void **state)
{
    (void)state;
    start(MIB);
    uint8_t *ptr = kmalloc(300000);
    assert_ptr_equal(krealloc(ptr, 20), ptr);
    assert_true(first_fit.mapped < (vaddr_t)ptr + 300000);
    assert_int_equal(kmalloc_usable_size(ptr), 20);
    kfree(ptr);
    check_sound();
}

/* What is cut off in place is a free block, whose links are not the former canary's place. */
static void test_resized_by_little(void **state)
{
    (void)state;
    start(64 * KIB);
    for (size_t former = 92; former <= 108; former++) {
        void *ptr = kmalloc(former), *fence = kmalloc(50), *hole = kmalloc(50);
        void *other = kmalloc(50);
        kfree(hole);
        assert_ptr_equal(krealloc(ptr, former - 16), ptr);
        check_sound();
        kfree(ptr);
        kfree(fence);
        kfree(other);
    }
}

/* Each bit of the canary counts, and of what says where it is. */
static void test_each_bit_of_the_guard(void **state)
{
    (void)state;
    for (size_t w = 0; w < ARRAY_SIZE(windows); w++) {
        for (size_t size = 1; size <= LARGEST; size += 41) {
            start(windows[w]);
            uint8_t *ptr = kmalloc(size);
            uint8_t *low = (uint8_t *)guard_word((vaddr_t)ptr, heap_usable_size(ptr, "test"));
            for (uint32_t bit = 0; bit < 32; bit++) {
                ptr[size + bit / 8] ^= 1u << bit % 8;
                free_stops("overflow", ptr);
                ptr[size + bit / 8] ^= 1u << bit % 8;
            }
            for (uint32_t bit = 0; bit < 8; bit++) {
                *low ^= 1u << bit;
                free_stops("overflow", ptr);
                *low ^= 1u << bit;
            }
            kfree(ptr);
            check_sound();
        }
    }
}

/* Each single bit of a block's head, in whatever surroundings: freeing it is refused. */
static void test_each_bit_of_a_head(void **state)
{
    (void)state;
    for (uint32_t bit = 0; bit < 32; bit++) {
        for (int front = 0; front < 2; front++) {
            for (int behind = 0; behind < 3; behind++) {
                reset(64 * KIB);
                void *first = kmalloc(100);
                uint32_t *block = kmalloc(300);
                void *second = kmalloc(100);
                assert_non_null(behind < 2 ? kmalloc(100) : first);
                if (front)
                    kfree(first);
                if (behind)
                    kfree(second);
                memset(block, 0, 300);
                block[-1] ^= 1u << bit;
                free_stops("", block);
            }
        }
    }
}

/* The guard moves with the size. */
static void test_resized(void **state)
{
    (void)state;
    for (size_t w = 0; w < ARRAY_SIZE(windows); w++) {
        start(windows[w]);
        uint8_t *ptr = kmalloc(20);
        memset(ptr, 0x5a, 20);
        for (size_t size = 21; size < 3000; size += 1 + size / 8) {
            ptr = krealloc(ptr, size);
            assert_int_equal(ptr[19], 0x5a);
            assert_true(kmalloc_usable_size(ptr) >= size);
        }
        for (size_t size = 2000; size > 20; size -= 1 + size / 8) {
            ptr = krealloc(ptr, size);
            assert_int_equal(ptr[19], 0x5a);
            assert_int_equal(kmalloc_usable_size(ptr), size);
            ptr[size] ^= 1;
            free_stops("overflow", ptr);
            ptr[size] ^= 1;
        }
        assert_null(krealloc(ptr, 8 * MIB));
        assert_null(krealloc(ptr, SIZE_MAX));
        assert_int_equal(ptr[19], 0x5a);
        assert_null(krealloc(ptr, 0));
        check_sound();
    }
}

static void test_sizes_that_cannot_be_had(void **state)
{
    static const size_t sizes[] = { 0,          64 * KIB,           MIB,          0x7fffffff,
                                    0x80000000, SIZE_MAX - 8,       SIZE_MAX - 7, SIZE_MAX - 1,
                                    SIZE_MAX,   0x100000000ull - 16 };

    (void)state;
    reset(64 * KIB);
    void *block = kmalloc(100);
    struct snapshot shot = take_snapshot();
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        assert_null(kmalloc(sizes[i]));
        assert_null(kmalloc_aligned(sizes[i], 16));
        assert_null(kcalloc(sizes[i], 1));
        if (sizes[i] != 0)
            assert_null(krealloc(block, sizes[i]));
    }
    assert_null(kmalloc_aligned(8, 24));
    assert_null(kcalloc(0x10000, 0x10000));
    check_unchanged(&shot);
}

static void test_aligned_and_cleared(void **state)
{
    (void)state;
    reset(64 * KIB);
    for (size_t align = 8; align <= 4096; align *= 2) {
        uint8_t *ptr = kmalloc_aligned(align + 3, align);
        assert_int_equal((vaddr_t)ptr % align, 0);
        memset(ptr, 0xff, align + 3);
        uint8_t *zero = kcalloc(align, 3);
        for (size_t i = 0; i < 3 * align; i++)
            assert_int_equal(zero[i], 0);
        kfree(ptr);
        kfree(zero);
    }
    check_sound();
}

static void test_double_and_invalid_free(void **state)
{
    (void)state;
    for (size_t w = 0; w < ARRAY_SIZE(windows); w++) {
        start(windows[w]);
        uint8_t *ptr = kmalloc(64), *behind = kmalloc(64);
        assert_non_null(behind);
        kfree(ptr);
        free_stops("double free", ptr);
        free_stops("invalid free", behind + 8);
        free_stops("invalid free", behind + 1);
        free_stops("invalid free", arena + windows[w]);
        kfree(NULL);
        check_sound();
    }
}

/* The heap sees the request and its guard, and places them as the model does. */
static void test_placed_as_the_model_says(void **state)
{
    static struct {
        void *payload;
        size_t size;
    } slots[4000];
    static struct heap_model model;
    struct prng prng = { .state = 5 };

    (void)state;
    reset_unchecked(16 * MIB, true);
    heap_model_init(&model, (vaddr_t)arena, 16 * MIB, true);
    for (uint32_t i = 0; i < 60000; i++) {
        size_t n = prng_below(&prng, ARRAY_SIZE(slots));
        if (slots[n].payload != NULL) {
            kfree(slots[n].payload);
            heap_model_free(&model, (vaddr_t)slots[n].payload);
            slots[n].payload = NULL;
            continue;
        }
        slots[n].size = 1 + prng_below(&prng, 1u << (4 + prng_below(&prng, 9)));
        slots[n].payload = kmalloc(slots[n].size);
        assert_int_equal(slots[n].payload, heap_model_alloc(&model, slots[n].size + GUARD_SIZE, 8));
        memset(slots[n].payload, 0, slots[n].size);
    }
    assert_true(model.chunks_made > 10);
    heap_model_destroy(&model);
    check_sound();
}

/* What looks like a free block in front of a block, but is another's bytes, is none. */
static void test_bytes_like_a_free_block(void **state)
{
    (void)state;
    reset(64 * KIB);
    uint32_t *bare = heap_alloc(60);
    void *next = kmalloc(300);
    for (size_t i = 0; i < 15; i++)
        bare[i] = 24;
    kfree(next);
    heap_free(bare);
    check_sound();
}

/* Where a head is broken, other pointers behind it are named for what they are. */
static void test_wild_pointers_behind_a_smashed_head(void **state)
{
    (void)state;
    reset(MIB);
    uint32_t *first = kmalloc(500), *second = kmalloc(500);
    uint32_t head = first[-1];
    first[-1] = 0;
    free_stops("underflow", first);
    free_stops("invalid free", second + 10);
    free_stops("double free", arena + 512 * KIB); /* nothing is mapped there */
    first[-1] = head;
    kfree(first);
    kfree(second);
    check_sound();
}

/* Every live allocation is met once, in address order, with its size and its caller. */
static void test_listing(void **state)
{
    static void *kept[3000];
    struct prng prng = { .state = 9 };
    size_t live = 0, bytes = 0, listed = 0, listed_bytes = 0;

    (void)state;
    reset_small(MIB);
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
        kept[i] = kmalloc(1 + prng_below(&prng, 300));
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
        if (prng_below(&prng, 3) == 0) {
            kfree(kept[i]);
            kept[i] = NULL;
        } else {
            live++;
            bytes += kmalloc_usable_size(kept[i]);
        }
    }
    struct heap_allocation allocation = { 0, 0, 0 };
    vaddr_t owner = 0, before = 0;
    while (heap_next_allocation(allocation.payload, &allocation)) {
        assert_true(allocation.payload > before);
        assert_true(heap_is_live((void *)allocation.payload));
        assert_true(owner == 0 || owner == allocation.owner);
        before = allocation.payload;
        owner = allocation.owner;
        listed++;
        listed_bytes += allocation.size;
    }
    assert_int_equal(listed, live);
    assert_int_equal(listed_bytes, bytes);
    assert_in_range(owner, 1, (1u << 24) - 1);
    check_sound();
}

/* Where the block listed last has been freed, a chunk begins now. */
static void test_listing_goes_on_in_a_chunk(void **state)
{
    (void)state;
    start(MIB);
    uint8_t *hole = kmalloc(3000);
    assert_non_null(kmalloc(3000));
    struct heap_allocation allocation = { (vaddr_t)hole, 0, 0 };
    kfree(hole);
    uint8_t *object = kmalloc(40), *other = kmalloc(40);
    assert_in_range(object, hole + 1, hole + 100);
    assert_true(heap_next_allocation(allocation.payload, &allocation));
    assert_int_equal(allocation.payload, object);
    assert_true(heap_next_allocation(allocation.payload, &allocation));
    assert_int_equal(allocation.payload, other);
}

/* Where the free block listed last began, a payload looks like one now. */
static void test_listing_is_not_misled_by_a_payload(void **state)
{
    struct heap_block block = { 0, 0, HEAP_USED };

    (void)state;
    start(64 * KIB);
    uint8_t *first = kmalloc(300), *second = kmalloc(300), *third = kmalloc(300);
    kfree(second);
    while (block.payload != (vaddr_t)second)
        assert_true(heap_next_block(block.payload + block.size, &block));
    kfree(first);
    uint32_t *whole = kmalloc(600), *middle = (uint32_t *)second - 1;
    assert_ptr_equal(whole, first);
    middle[0] = middle[15] = 64;
    assert_true(heap_next_block((vaddr_t)second, &block));
    assert_int_equal(block.payload, third);
    check_sound();
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_that_was_asked_for_may_be_used),
        cmocka_unit_test(test_one_byte_too_many),
        cmocka_unit_test(test_text_that_leads_to_another_canary),
        cmocka_unit_test(test_overflow_where_the_pages_end),
        cmocka_unit_test(test_an_overflowed_one_is_listed_with_its_owner),
        cmocka_unit_test(test_canary_of_a_former_size),
        cmocka_unit_test(test_resized_to_little),
        cmocka_unit_test(test_resized_by_little),
        cmocka_unit_test(test_each_bit_of_the_guard),
        cmocka_unit_test(test_each_bit_of_a_head),
        cmocka_unit_test(test_resized),
        cmocka_unit_test(test_sizes_that_cannot_be_had),
        cmocka_unit_test(test_aligned_and_cleared),
        cmocka_unit_test(test_double_and_invalid_free),
        cmocka_unit_test(test_placed_as_the_model_says),
        cmocka_unit_test(test_bytes_like_a_free_block),
        cmocka_unit_test(test_wild_pointers_behind_a_smashed_head),
        cmocka_unit_test(test_listing),
        cmocka_unit_test(test_listing_goes_on_in_a_chunk),
        cmocka_unit_test(test_listing_is_not_misled_by_a_payload),
    };

    return cmocka_run_group_tests(tests, open_arena, NULL);
}
