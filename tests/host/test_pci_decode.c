/*
 * Base address registers, bridge windows and class names, as the numbers in the registers.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

#include <drivers/pci_decode.h>
#include "support.h"

/* ---- Base address registers ---- */

static void expect_bar(uint64_t value, uint64_t mask, const struct pci_bar *wanted)
{
    struct pci_bar bar = pci_decode_bar(value, mask);

    assert_int_equal(bar.kind, wanted->kind);
    assert_true(bar.base == wanted->base);
    assert_true(bar.size == wanted->size);
    assert_int_equal(bar.wide, wanted->wide);
    assert_int_equal(bar.prefetchable, wanted->prefetchable);
}

#define EXPECT_BAR(value, mask, ...) expect_bar(value, mask, &(struct pci_bar){ __VA_ARGS__ })

static void test_bars(void **state)
{
    (void)state;
    EXPECT_BAR(0xc041, 0xfffffff1, 0xc040, 16, PCI_BAR_IO, false, false);
    EXPECT_BAR(0xc041, 0xfff1, 0xc040, 16, PCI_BAR_IO, false, false); /* only 16 bits */
    EXPECT_BAR(0x1, 0xfffffffd, 0, 4, PCI_BAR_IO, false, false);
    EXPECT_BAR(0xfebf0000, 0xfffff000, 0xfebf0000, 0x1000, PCI_BAR_MEMORY, false, false);
    EXPECT_BAR(0xfd000008, 0xff000008, 0xfd000000, 16 * MIB, PCI_BAR_MEMORY, false, true);
    EXPECT_BAR(0, 0xfffffff0, 0, 16, PCI_BAR_MEMORY, false, false);
    EXPECT_BAR(0x80000000, 0x80000000, 0x80000000, 1u << 31, PCI_BAR_MEMORY, false, false);
    EXPECT_BAR(0xc0002, 0xffff0002, 0xc0000, 0x10000, PCI_BAR_MEMORY, false, false); /* < 1 MiB */
}

static void test_wide_bars(void **state)
{
    (void)state;
    EXPECT_BAR(0xfebf0004, 0xffffffffffffc004, 0xfebf0000, 0x4000, PCI_BAR_MEMORY, true, false);
    EXPECT_BAR(0x38000000000c, 0xfffffffe0000000c, 0x380000000000, 8ull << 30, PCI_BAR_MEMORY, true,
               true);
    EXPECT_BAR(0xe000000004, 0xffffffff00000004, 0xe000000000, 1ull << 32, PCI_BAR_MEMORY, true,
               false);
    EXPECT_BAR(0xe0000004, 0xfffff004, 0xe0000000, 0x1000, PCI_BAR_MEMORY, true, false);
    EXPECT_BAR(0xe0000004, 0xfffffff004, 0xe0000000, 0x1000, PCI_BAR_MEMORY, true, false);
    EXPECT_BAR(0x8000000000000004, 0x8000000000000004, 1ull << 63, 1ull << 63, PCI_BAR_MEMORY, true,
               false);
}

/* No register, or one that contradicts itself. */
static void test_no_bars(void **state)
{
    static const struct {
        uint64_t value, mask;
    } cases[] = {
        { 0, 0 },
        { 0xfebf0000, 0 },                /* not writable at all is not a size of 4 GiB */
        { 0x1, 0x1 },                     /* flags alone */
        { 0xc, 0xc },                     /* the same, 64-bit */
        { 0xfebf0000, 0xf0fff000 },       /* a gap */
        { 0xe0000004, 0xf00000fffff004 }, /* a gap in the upper half */
        { 0xfebf0006, 0xfffff006 },       /* the reserved type */
        { 0xc041, 0xfffffff0 },           /* I/O when read, memory when probed */
        { 0xfebf0000, 0xfffffff1 },       /* and the other way round */
        { 0xfebf0000, 0xffffffff },       /* gone meanwhile */
        { 0xffffffff, 0xfffffff0 },
        { 0xfebf0000, 0xfffff008 }, /* prefetchable only when probed */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        EXPECT_BAR(cases[i].value, cases[i].mask, 0, 0, PCI_BAR_NONE, false, false);
}

/* Every size that there can be, at the top and at the bottom of its range. */
static void test_all_sizes(void **state)
{
    (void)state;
    for (uint32_t bit = 4; bit < 64; bit++) {
        uint64_t size = 1ull << bit;

        EXPECT_BAR(-size | 4, -size | 4, -size, size, PCI_BAR_MEMORY, true, false);
        EXPECT_BAR(size | 12, -size | 12, size, size, PCI_BAR_MEMORY, true, true);
        if (bit < 32)
            EXPECT_BAR(size, (uint32_t)-size, size, size, PCI_BAR_MEMORY, false, false);
        if (bit < 16)
            EXPECT_BAR(size | 1, (uint16_t)-size | 1u, size, size, PCI_BAR_IO, false, false);
    }
}

static void test_unprobed(void **state)
{
    (void)state;
    struct pci_bar bar = pci_decode_unprobed_bar(0x1e000000cull);
    assert_int_equal(bar.kind, PCI_BAR_MEMORY);
    assert_true(bar.base == 0x1e0000000 && bar.size == 0 && bar.wide && bar.prefetchable);
    bar = pci_decode_unprobed_bar(0xc001);
    assert_true(bar.kind == PCI_BAR_IO && bar.base == 0xc000 && bar.size == 0);
    assert_int_equal(pci_decode_unprobed_bar(0).kind, PCI_BAR_NONE);
    assert_int_equal(pci_decode_unprobed_bar(0xffffffff).kind, PCI_BAR_NONE);
    assert_int_equal(pci_decode_unprobed_bar(0xfebf0006).kind, PCI_BAR_NONE);
}

/* Whatever the numbers are, a register that is taken for one is sound. */
static void test_random_bars(void **state)
{
    struct prng prng = { 36 };

    (void)state;
    for (uint32_t i = 0; i < 200000; i++) {
        uint64_t value = (uint64_t)prng_next(&prng) << 32 | prng_next(&prng);
        uint64_t mask = prng_once_in(&prng, 2) ? -(1ull << prng_below(&prng, 64)) | (value & 15)
                                               : (uint64_t)prng_next(&prng) << 32 | value;
        struct pci_bar bar = pci_decode_bar(value, mask);

        if (bar.kind == PCI_BAR_NONE) {
            assert_true(bar.base == 0 && bar.size == 0);
            continue;
        }
        assert_true(bar.size >= 4 && (bar.size & (bar.size - 1)) == 0);
        assert_true(bar.base % bar.size == 0);
        assert_true(bar.base + (bar.size - 1) >= bar.base);
    }
}

/* ---- Windows ---- */

static void expect_window(struct pci_window window, uint64_t start, uint64_t end, bool wide)
{
    assert_true(window.start == start);
    assert_true(window.end == end);
    assert_int_equal(window.wide, wide);
}

static void test_io_windows(void **state)
{
    (void)state;
    expect_window(pci_decode_io_window(0xc0c0, 0), 0xc000, 0xd000, false);
    expect_window(pci_decode_io_window(0xf0c0, 0x12345678), 0xc000, 0x10000, false);
    expect_window(pci_decode_io_window(0xffffd1c1, 0), 0xc000, 0xe000, true); /* status above */
    expect_window(pci_decode_io_window(0x2111, 0x00020001), 0x11000, 0x23000, true);
    expect_window(pci_decode_io_window(0xf1f1, 0xffffffff), 0xfffff000, 0x100000000, true);
    expect_window(pci_decode_io_window(0x00f0, 0), 0, 0, false); /* closed */
    expect_window(pci_decode_io_window(0xc1c1, 0x00000001), 0, 0, true);
    expect_window(pci_decode_io_window(0, 0), 0, 0, false);
    expect_window(pci_decode_io_window(0x1010, 0), 0x1000, 0x2000, false);
}

static void test_memory_windows(void **state)
{
    (void)state;
    expect_window(pci_decode_memory_window(0xfe90fe80), 0xfe800000, 0xfea00000, false);
    expect_window(pci_decode_memory_window(0xfffffffe), 0xfff00000, 0x100000000, false);
    expect_window(pci_decode_memory_window(0x0000fff0), 0, 0, false);
    expect_window(pci_decode_memory_window(0), 0, 0, false);
    expect_window(pci_decode_memory_window(0xfff00000), 0, 0x100000000, false);
}

static void test_prefetchable_windows(void **state)
{
    (void)state;
    expect_window(pci_decode_prefetchable_window(0xfd10fd00, 7, 7), 0xfd000000, 0xfd200000, false);
    expect_window(pci_decode_prefetchable_window(0xfd11fd01, 0, 0), 0xfd000000, 0xfd200000, true);
    expect_window(pci_decode_prefetchable_window(0x00010001, 0x80, 0x81), 0x8000000000,
                  0x8100100000, true);
    expect_window(pci_decode_prefetchable_window(0x00010001, 0x81, 0x80), 0, 0, true);
    expect_window(pci_decode_prefetchable_window(0x0001fff1, 0, 0), 0, 0, true);
    expect_window(pci_decode_prefetchable_window(0x00010001, 0, 0), 0, 0, true);
    expect_window(pci_decode_prefetchable_window(0, 0, 0), 0, 0, false);
    /* An end of 2^64 cannot be told: one byte is missing. */
    expect_window(pci_decode_prefetchable_window(0xfff1fff1, UINT32_MAX, UINT32_MAX), -0x100000ull,
                  UINT64_MAX, true);
}

/* ---- Names ---- */

static void test_class_names(void **state)
{
    (void)state;
    assert_string_equal(pci_class_name(0x0c, 0x03, 0x30), "USB controller (xHCI)");
    assert_string_equal(pci_class_name(0x0c, 0x03, 0x77), "USB controller");
    assert_string_equal(pci_class_name(0x0c, 0x77, 0x30), "serial bus controller");
    assert_string_equal(pci_class_name(0x06, 0x00, 0x00), "host bridge");
    assert_string_equal(pci_class_name(0x06, 0x04, 0x01), "PCI bridge (subtractive)");
    assert_string_equal(pci_class_name(0x06, 0x04, 0x00), "PCI bridge");
    for (uint32_t code = 0; code < 1u << 24; code += 0x35)
        assert_non_null(pci_class_name((uint8_t)(code >> 16), (uint8_t)(code >> 8), (uint8_t)code));
    assert_string_equal(pci_class_name(0xff, 0xff, 0xff), "device");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bars),
        cmocka_unit_test(test_wide_bars),
        cmocka_unit_test(test_no_bars),
        cmocka_unit_test(test_all_sizes),
        cmocka_unit_test(test_unprobed),
        cmocka_unit_test(test_random_bars),
        cmocka_unit_test(test_io_windows),
        cmocka_unit_test(test_memory_windows),
        cmocka_unit_test(test_prefetchable_windows),
        cmocka_unit_test(test_class_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
