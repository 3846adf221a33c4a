/*
 * Tests of the checking build: each mistake is reported, once and as what it is, and what is right
 * is not. Reports are caught instead of made; the mistakes then happen, so that what is written
 * where it must not be is what stands there already.
 */
#include <selftest.h>
#include "check/report.h"
#include "check/interrupts.h"
#include <check.h>
#include <heap.h>
#include <lib/string.h>
#include <sched/lock_check.h>
#include <sched/spinlock.h>
#include <sched/sync.h>
#include <sched/thread.h>
#include <x86/io.h>

#define OVERFLOW      "heap overflow"
#define UNDERFLOW     "heap underflow"
#define AFTER_FREE    "use after free"
#define NO_BLOCK      "heap memory of no block"
#define GLOBAL        "global out of bounds"
#define STACK         "stack out of bounds"
#define SCOPE         "use after scope"

/*
 * ---- Accesses of all sizes, which the compiler knows nothing about ----
 *
 * The compiler calls one check where it knows that an address is aligned, and another elsewhere.
 */

#define HIDE(address) __asm__ volatile("" : "+r"(address) : : "memory")

typedef uint16_t __attribute__((may_alias, aligned(1))) loose16;
typedef uint32_t __attribute__((may_alias, aligned(1))) loose32;
typedef uint64_t __attribute__((may_alias, aligned(1))) loose64;

struct words {
    uint32_t word[12];
};

static void read8(const void *address)
{
    HIDE(address);
    (void)*(const volatile uint8_t *)address;
}

static void read16(const void *address)
{
    HIDE(address);
    if ((vaddr_t)address % sizeof(uint16_t) == 0)
        (void)*(const volatile uint16_t *)address;
    else
        (void)*(const volatile loose16 *)address;
}

static void read32(const void *address)
{
    HIDE(address);
    if ((vaddr_t)address % sizeof(uint32_t) == 0)
        (void)*(const volatile uint32_t *)address;
    else
        (void)*(const volatile loose32 *)address;
}

static void read64(const void *address)
{
    HIDE(address);
    (void)*(const volatile loose64 *)address;
}

/* Bytes that nobody checks: what a write must leave there. */
UNCHECKED static uint32_t there(const void *address)
{
    HIDE(address);
    return *(const volatile loose32 *)address;
}

static void write8(void *address)
{
    uint8_t value = (uint8_t)there(address);
    HIDE(address);
    *(volatile uint8_t *)address = value;
}

static void write16(void *address)
{
    uint16_t value = (uint16_t)there(address);
    HIDE(address);
    if ((vaddr_t)address % sizeof(uint16_t) == 0)
        *(volatile uint16_t *)address = value;
    else
        *(volatile loose16 *)address = value;
}

static void write32(void *address)
{
    uint32_t value = there(address);
    HIDE(address);
    if ((vaddr_t)address % sizeof(uint32_t) == 0)
        *(volatile uint32_t *)address = value;
    else
        *(volatile loose32 *)address = value;
}

static void read_struct(const void *address)
{
    struct words copy;
    HIDE(address);
    copy = *(const struct words *)address;
    const struct words *kept = &copy;
    HIDE(kept);
}

static void copy_from(const void *address, size_t size)
{
    uint8_t copy[128];
    HIDE(address);
    memcpy(copy, address, size);
}

static void copy_onto_itself(void *address, size_t size)
{
    HIDE(address);
    memmove(address, address, size);
}

static void fill_with(void *address, uint32_t value, size_t size)
{
    HIDE(address);
    memset(address, (int)value, size);
}

static void compare(const void *address, size_t size)
{
    static const uint8_t zeros[128];
    HIDE(address);
    (void)memcmp(zeros, address, size);
}

/* ---- The heap ---- */

enum how { BEFORE_FREE, FREED, DRAINED };

/* A case: an access to a block of the given size, at an offset from its start. */
struct heap_case {
    const char *name;
    size_t size;
    int offset;
    enum how how;
    const char *what;
    void (*read)(const void *address);
    void (*write)(void *address);
    size_t bytes;
};

static const struct heap_case heap_cases[] = {
    { "byte behind 13", 13, 13, BEFORE_FREE, OVERFLOW, read8, NULL, 1 },
    { "byte behind 24", 24, 24, BEFORE_FREE, OVERFLOW, read8, NULL, 1 },
    { "byte behind 1", 1, 1, BEFORE_FREE, OVERFLOW, NULL, write8, 1 },
    { "last byte of 8 behind 1", 1, 7, BEFORE_FREE, OVERFLOW, read8, NULL, 1 },
    { "byte behind 4096", 4096, 4096, BEFORE_FREE, OVERFLOW, NULL, write8, 1 },
    { "last byte of the zone behind 100", 100, 100 + 19, BEFORE_FREE, OVERFLOW, read8, NULL, 1 },
    { "half word across the end of 13", 13, 12, BEFORE_FREE, OVERFLOW, read16, NULL, 2 },
    { "half word behind 10", 10, 10, BEFORE_FREE, OVERFLOW, NULL, write16, 2 },
    { "word across the end of 13", 13, 10, BEFORE_FREE, OVERFLOW, read32, NULL, 4 },
    { "word behind 24", 24, 24, BEFORE_FREE, OVERFLOW, NULL, write32, 4 },
    { "word across granules and the end", 24, 22, BEFORE_FREE, OVERFLOW, NULL, write32, 4 },
    { "two words across the end of 28", 28, 24, BEFORE_FREE, OVERFLOW, read64, NULL, 8 },
    { "structure longer than its block", 40, 0, BEFORE_FREE, OVERFLOW, read_struct, NULL, 48 },
    { "byte before", 24, -1, BEFORE_FREE, UNDERFLOW, read8, NULL, 1 },
    { "word before", 24, -4, BEFORE_FREE, UNDERFLOW, NULL, write32, 4 },
    { "word across the start", 24, -2, BEFORE_FREE, UNDERFLOW, read32, NULL, 4 },
    { "far before", 600, -64, BEFORE_FREE, UNDERFLOW, read8, NULL, 1 },
    { "first byte, freed", 24, 0, FREED, AFTER_FREE, read8, NULL, 1 },
    { "middle, freed", 24, 12, FREED, AFTER_FREE, NULL, write32, 4 },
    { "last byte, freed", 13, 12, FREED, AFTER_FREE, NULL, write8, 1 },
    { "middle of a large one, freed", 5000, 2500, FREED, AFTER_FREE, read16, NULL, 2 },
    { "structure, freed", 64, 8, FREED, AFTER_FREE, read_struct, NULL, 48 },
    { "behind one that was freed", 24, 24, FREED, OVERFLOW, read8, NULL, 1 },
    { "given back to the heap", 64, 8, DRAINED, NO_BLOCK, read8, NULL, 1 },
};

/* Whether what was caught is one report of that kind. */
static bool is_report(const struct check_catch *caught, const char *what)
{
    return caught->count == 1 && strcmp(caught->what, what) == 0;
}

static bool heap_case_holds(const struct heap_case *test)
{
    uint8_t *block = kmalloc(test->size);
    uint8_t *address = block + test->offset;

    if (block == NULL)
        return false;
    if (test->how != BEFORE_FREE)
        kfree(block);
    if (test->how == DRAINED)
        check_heap_drain();
    check_catch_begin();
    if (test->read != NULL)
        test->read(address);
    else
        test->write(address);
    struct check_catch caught = check_catch_end();
    if (test->how == BEFORE_FREE)
        kfree(block);
    return is_report(&caught, test->what) && caught.access.size == test->bytes &&
           caught.access.write == (test->write != NULL) &&
           caught.access.address - (vaddr_t)address < sizeof(uint64_t);
}

SELFTEST(check_heap,
         "check: accesses before, behind and across the ends of blocks, and to freed ones")
{
    for (uint32_t i = 0; i < ARRAY_SIZE(heap_cases); i++) {
        if (!heap_case_holds(&heap_cases[i]))
            return heap_cases[i].name;
    }
    return NULL;
}

/* Runs a statement and leaves what it did wrong in `caught`. */
#define CATCH(statement)                                                                           \
    do {                                                                                           \
        check_catch_begin();                                                                       \
        statement;                                                                                 \
        caught = check_catch_end();                                                                \
    } while (0)

SELFTEST(check_ranges, "check: memcpy and its like are checked before they move anything")
{
    uint8_t *block = kmalloc(24);
    struct check_catch caught;

    EXPECT(block != NULL);
    CATCH(copy_from(block, 25));
    EXPECT(is_report(&caught, OVERFLOW) && caught.access.size == 25 && !caught.access.write);
    EXPECT(caught.access.forbidden == (vaddr_t)block + 24);
    CATCH(copy_onto_itself(block, 30));
    EXPECT(caught.count == 2 && caught.access.write && caught.access.size == 30);
    CATCH(fill_with(block + 24, there(block + 24), 8));
    EXPECT(is_report(&caught, OVERFLOW) && caught.access.write);
    CATCH(compare(block - 4, 12));
    EXPECT(is_report(&caught, UNDERFLOW) && !caught.access.write);
    memset(block, 'x', 24);
    CATCH((void)strnlen((char *)block, 25));
    EXPECT(is_report(&caught, OVERFLOW));
    CATCH((void)strchr((char *)block + 8, (int)(uint8_t)there(block + 24)));
    EXPECT(is_report(&caught, OVERFLOW));
    kfree(block);
    CATCH(copy_from(block, 10));
    EXPECT(is_report(&caught, AFTER_FREE));
    CATCH(copy_from(block, 0));
    EXPECT(caught.count == 0);
    return NULL;
}

SELFTEST(check_aligned, "check: aligned blocks have red zones too")
{
    struct check_catch caught;

    for (size_t align = 1; align <= HEAP_MAX_ALIGN; align *= 4) {
        uint8_t *block = kmalloc_aligned(100, align);
        EXPECT(block != NULL && (vaddr_t)block % align == 0);
        CATCH(read8(block - 1));
        EXPECT(is_report(&caught, UNDERFLOW));
        CATCH(read8(block + 100));
        EXPECT(is_report(&caught, OVERFLOW));
        kfree(block);
    }
    return NULL;
}

SELFTEST(check_krealloc,
         "check: a block that grows leaves its old address, one that shrinks its end")
{
    uint8_t *block = kmalloc(100), *grown = krealloc(block, 200);
    struct check_catch caught;

    EXPECT(block != NULL && grown != NULL && grown != block);
    CATCH(read8(block + 50));
    EXPECT(is_report(&caught, AFTER_FREE));
    EXPECT(krealloc(grown, 33) == grown);
    CATCH(read8(grown + 33));
    EXPECT(is_report(&caught, OVERFLOW));
    CATCH(read8(grown + 32));
    EXPECT(caught.count == 0);
    kfree(grown);
    return NULL;
}

SELFTEST(check_free, "check: what cannot be freed is named, and stays")
{
    uint8_t *block = kmalloc(100), local[16] = { 0 };
    uint8_t *address = local;
    struct check_catch caught;

    EXPECT(block != NULL);
    HIDE(address);
    CATCH(kfree(block + 8));
    EXPECT(is_report(&caught, "invalid free") && heap_is_live(block));
    CATCH(kfree(block - 8));
    EXPECT(is_report(&caught, "invalid free") && heap_is_live(block));
    CATCH(kfree(address));
    EXPECT(is_report(&caught, "invalid free"));
    kfree(block);
    CATCH(kfree(block));
    EXPECT(is_report(&caught, "double free"));
    CATCH(EXPECT(krealloc(block, 200) == NULL));
    EXPECT(is_report(&caught, "double free"));
    return NULL;
}

SELFTEST(check_right, "check: nothing is wrong with any byte of any block")
{
    struct check_catch caught;

    for (size_t size = 1; size <= 80; size++) {
        uint8_t *block = kmalloc(size);
        EXPECT(block != NULL);
        CATCH(memset(block, 1, size); for (size_t i = 0; i < size; i++) write8(block + i);
              for (size_t i = 0; i + 3 < size; i++) read32(block + i));
        kfree(block);
        EXPECT(caught.count == 0);
    }
    return NULL;
}

UNCHECKED static void scratch(uint8_t *address)
{
    HIDE(address);
    *(volatile uint8_t *)address ^= 1;
}

SELFTEST(check_patterns,
         "check: what nobody checks is found in the red zones, and in what was freed")
{
    struct check_heap_figures figures;
    uint8_t *block = kmalloc(100);

    EXPECT(block != NULL);
    EXPECT(check_heap_validate(&figures) == NULL && figures.live > 0);
    scratch(block + 100);
    EXPECT(check_heap_validate(&figures) != NULL && figures.damaged == (vaddr_t)block);
    scratch(block + 100);
    scratch(block + 50); /* that is the owner's */
    EXPECT(check_heap_validate(&figures) == NULL);
    kfree(block);
    scratch(block + 50);
    EXPECT(check_heap_validate(&figures) != NULL && figures.damaged == (vaddr_t)block);
    scratch(block + 50);
    EXPECT(check_heap_validate(&figures) == NULL && figures.quarantined > 0);
    return NULL;
}

SELFTEST(check_quarantine, "check: the quarantine is bounded, and empty before there is no memory")
{
    struct check_heap_figures figures;
    uint8_t *first = kmalloc(100);

    EXPECT(first != NULL);
    kfree(first);
    for (uint32_t i = 0; i < 100; i++) {
        void *block = kmalloc(10000);
        EXPECT(block != NULL);
        kfree(block);
        EXPECT(check_heap_validate(&figures) == NULL);
        EXPECT(figures.quarantined > 0 && figures.bytes <= 256 * KIB);
    }
    EXPECT(!heap_is_live(first));
    EXPECT(kmalloc(0x1fffff00) == NULL); /* more than any heap has */
    EXPECT(check_heap_validate(&figures) == NULL && figures.quarantined == 0);
    return NULL;
}

/* ---- Globals and stacks ---- */

static uint8_t bytes[13] = { 1 };
static uint32_t words[5] = { 1 };
static const uint16_t constants[7] = { 1 };

SELFTEST(check_globals, "check: accesses behind global variables")
{
    uint8_t *byte = bytes;
    uint32_t *word = words;
    const uint16_t *constant = constants;
    struct check_catch caught;

    HIDE(byte);
    HIDE(word);
    HIDE(constant);
    CATCH(read8(byte + 13));
    EXPECT(is_report(&caught, GLOBAL) && caught.access.size == 1);
    CATCH(write16(byte + 12));
    EXPECT(is_report(&caught, GLOBAL) && caught.access.write);
    CATCH(write32(word + 5));
    EXPECT(is_report(&caught, GLOBAL) && caught.access.size == 4);
    CATCH(read32(word + 8));
    EXPECT(is_report(&caught, GLOBAL));
    CATCH(read16(constant + 7));
    EXPECT(is_report(&caught, GLOBAL) && !caught.access.write);
    CATCH(fill_with(byte, 0, 20));
    EXPECT(is_report(&caught, GLOBAL) && caught.access.forbidden == (vaddr_t)byte + 13);
    CATCH(read8(byte + 12); read32(word + 4); read16(constant + 6));
    EXPECT(caught.count == 0);
    return NULL;
}

/* What the compiler would otherwise leave out: both arrays are somebody else's business. */
static const char *check_locals(void)
{
    uint8_t one[10] = { 0 }, other[24] = { 0 };
    uint8_t *first = one, *second = other;
    struct check_catch caught;

    HIDE(first);
    HIDE(second);
    CATCH(read8(first + 10));
    EXPECT(is_report(&caught, STACK));
    CATCH(write8(first + 15));
    EXPECT(is_report(&caught, STACK) && caught.access.write);
    CATCH(read32(second + 24));
    EXPECT(is_report(&caught, STACK));
    CATCH(read16(second + 23));
    EXPECT(is_report(&caught, STACK) && caught.access.size == 2);
    CATCH(read8(first - 1));
    EXPECT(is_report(&caught, STACK));
    CATCH(read32(second - 4));
    EXPECT(is_report(&caught, STACK));
    CATCH(copy_from(second, 25));
    EXPECT(is_report(&caught, STACK) && caught.access.range);
    memset(second, 'x', 24);
    CATCH((void)strnlen((char *)second, 25));
    EXPECT(is_report(&caught, STACK));
    CATCH(read8(first + 9); read64(second + 16));
    EXPECT(caught.count == 0);
    return NULL;
}

SELFTEST(check_stacks, "check: accesses before, between and behind variables on the stack")
{
    return check_locals();
}

SELFTEST(check_scope, "check: a variable whose block has ended")
{
    struct check_catch caught;
    uint8_t *kept = NULL;

    for (uint32_t i = 0; i < 1; i++) {
        uint8_t inner[16] = { 0 };
        kept = inner;
        HIDE(kept);
    }
    CATCH(read8(kept));
    EXPECT(is_report(&caught, SCOPE));
    return NULL;
}

/* ---- Locks ---- */

static struct spinlock spin;
static struct mutex first = MUTEX_INITIALIZER(first), second = MUTEX_INITIALIZER(second);
static struct mutex third = MUTEX_INITIALIZER(third);

static void take_two(struct mutex *one, struct mutex *other)
{
    mutex_lock(one);
    mutex_lock(other);
    mutex_unlock(other);
    mutex_unlock(one);
}

SELFTEST(check_order, "check: locks taken the other way round, straight and through a third one")
{
    struct check_catch caught;

    lock_check_forget(&first);
    lock_check_forget(&second);
    lock_check_forget(&third);
    CATCH(take_two(&first, &second); take_two(&first, &second); take_two(&second, &third));
    EXPECT(caught.count == 0);
    CATCH(take_two(&second, &first));
    EXPECT(is_report(&caught, "lock order inverted"));
    CATCH(take_two(&third, &first));
    EXPECT(is_report(&caught, "lock order inverted"));
    CATCH(take_two(&first, &third));
    EXPECT(caught.count == 0);
    return NULL;
}

SELFTEST(check_twice, "check: a lock that is taken twice, or while one sleeps")
{
    struct check_catch caught;

    mutex_lock(&first);
    CATCH(lock_check_wait(&first, LOCK_MUTEX));
    mutex_unlock(&first);
    EXPECT(is_report(&caught, "lock taken twice"));

    uint32_t flags = spin_lock(&spin);
    CATCH(lock_check_wait(&spin, LOCK_SPIN));
    struct check_catch twice = caught;
    CATCH(lock_check_sleep());
    spin_unlock(&spin, flags);
    EXPECT(is_report(&twice, "lock taken twice"));
    EXPECT(is_report(&caught, "sleeping while a lock is held"));
    CATCH(lock_check_sleep());
    EXPECT(caught.count == 0);
    return NULL;
}

static int hold_first(void *arg UNUSED)
{
    mutex_lock(&first);
    while (!thread_interrupted())
        thread_sleep(10);
    mutex_unlock(&first);
    return 0;
}

SELFTEST(check_foreign, "check: a lock is released by who holds it")
{
    struct thread *owner = thread_create("owner", hold_first, NULL);
    struct check_catch caught;

    EXPECT(owner != NULL);
    while (first.owner != owner)
        thread_yield();
    CATCH(lock_check_release(&first, LOCK_MUTEX));
    thread_interrupt(owner);
    thread_join(owner);
    EXPECT(is_report(&caught, "lock released by another thread"));
    CATCH(lock_check_release(&first, LOCK_MUTEX));
    EXPECT(is_report(&caught, "lock released that nobody holds"));
    CATCH(lock_check_release(&spin, LOCK_SPIN));
    EXPECT(is_report(&caught, "lock released that nobody holds"));
    return NULL;
}

SELFTEST(check_interrupts, "check: interrupts that stay off for long")
{
    struct check_catch caught;
    const uint32_t *word = words;

    uint32_t flags = interrupts_save();
    CATCH(for (uint32_t i = 0; i < INTERRUPTS_OFF_MAX + 1; i++) read32(word));
    interrupts_restore(flags);
    EXPECT(is_report(&caught, "interrupts off for too long"));
    return NULL;
}
