/*
 * The walk over the buses, on configuration spaces made here.
 *
 * Every function of the fake machine has its 64 words and which of their bits can be written. The
 * machine checks each write: ones go to a base address register only while the function decodes
 * nothing and all else is kept quiet, status bits are never cleared, and at the end all is as it
 * was. In the pictures [a] is a bus, F a function, B a bridge.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <drivers/pci_scan.h>
#include "support.h"

#define WORDS         64u
#define DECODE        (PCI_COMMAND_IO | PCI_COMMAND_MEMORY)
#define ALL_ON        0x00100507u /* decoding, bus master, more; and status: it has capabilities */
#define HOST_BRIDGE   0x060000u
#define PCI_BRIDGE    0x060400u
#define XHCI          0x0c0330u
#define MULTIFUNCTION 0x80u

/* ---- The machine ---- */

struct fake {
    pci_address_t address;
    uint32_t words[WORDS], writable[WORDS], original[WORDS];
    uint32_t writes;
    uint32_t power; /* where its power state is controlled; 0: nowhere */
    bool is_waking; /* and must not be touched */
};

static struct fake machine[4096];
static uint32_t fakes;
static bool quiet;
static bool ghosts; /* every address answers */
static uint32_t reads;

static struct fake *find(pci_address_t address)
{
    for (uint32_t i = 0; i < fakes; i++) {
        if (machine[i].address == address)
            return &machine[i];
    }
    return NULL;
}

static uint32_t fake_read(pci_address_t address, uint32_t offset)
{
    struct fake *f = find(address);

    reads++;
    assert_true(offset < 4 * WORDS && offset % 4 == 0);
    if (f == NULL && ghosts)
        return 0x81818181;
    assert_true(f == NULL || !f->is_waking);
    return f != NULL ? f->words[offset / 4] : UINT32_MAX;
}

static bool is_bar(const struct fake *f, uint32_t offset)
{
    uint32_t header = f->words[PCI_HEADER / 4] >> 16 & 0x7f;
    return offset >= PCI_BAR0 && offset < PCI_BAR0 + 4 * (header == 1 ? 2 : 6);
}

/* To D0: it takes a while, and all is as after a reset. */
static void write_power(struct fake *f, uint32_t value)
{
    assert_int_equal(value & 0x8103, 0);
    f->words[f->power / 4] = value;
    f->is_waking = true;
    f->words[PCI_COMMAND / 4] &= 0xffff0000;
    f->words[PCI_INTERRUPT / 4] &= 0xffffff00;
    for (uint32_t word = PCI_BAR0 / 4; word < PCI_BAR0 / 4 + PCI_BARS; word++)
        f->words[word] &= ~f->writable[word];
}

static void fake_write(pci_address_t address, uint32_t offset, uint32_t value)
{
    struct fake *f = find(address);

    assert_true(offset < 4 * WORDS && offset % 4 == 0);
    if (f == NULL && ghosts)
        return;
    assert_non_null(f);
    assert_false(f->is_waking);
    if (f->power != 0 && offset == f->power) {
        write_power(f, value);
        return;
    }
    assert_true(quiet);
    if (f->power != 0 && offset == PCI_INTERRUPT) {
        f->words[offset / 4] = value;
        return;
    }
    assert_true(offset == PCI_COMMAND || is_bar(f, offset));
    f->writes++;
    uint32_t *word = &f->words[offset / 4];
    if (offset == PCI_COMMAND) {
        assert_int_equal(value >> 16, 0); /* ones would clear status bits */
        assert_true(f->power != 0 || ((value ^ *word) & 0xffff & ~DECODE) == 0);
        *word = (*word & 0xffff0000) | value;
        return;
    }
    assert_int_equal(f->words[PCI_COMMAND / 4] & DECODE, 0);
    *word = (*word & ~f->writable[offset / 4]) | (value & f->writable[offset / 4]);
}

static uint32_t quiet_begin(void)
{
    assert_false(quiet);
    quiet = true;
    return 77;
}

static void quiet_end(uint32_t state)
{
    assert_true(quiet);
    assert_int_equal(state, 77);
    quiet = false;
}

static const struct pci_access access = { fake_read, fake_write, quiet_begin, quiet_end };
static struct pci_table table;

/* ---- Building it ---- */

static int start(void **state)
{
    (void)state;
    fakes = reads = 0;
    ghosts = quiet = false;
    return 0;
}

static struct fake *add(uint32_t bus, uint32_t device, uint32_t function, uint32_t class,
                        uint32_t header)
{
    struct fake *f = &machine[fakes++];

    assert_true(fakes <= ARRAY_SIZE(machine));
    *f = (struct fake){ .address = PCI_ADDRESS(bus, device, function) };
    f->words[PCI_ID / 4] = 0x12348086;
    f->words[PCI_COMMAND / 4] = ALL_ON;
    f->words[PCI_CLASS / 4] = class << 8 | 0x05;
    f->words[PCI_HEADER / 4] = header << 16 | 0x00004010;
    f->words[PCI_INTERRUPT / 4] = 0x0000020b;
    return f;
}

static void set_bar(struct fake *f, uint32_t bar, uint64_t value, uint64_t writable)
{
    uint32_t word = PCI_BAR0 / 4 + bar;

    f->words[word] = (uint32_t)value;
    f->writable[word] = (uint32_t)writable;
    if (writable >> 32 != 0) {
        f->words[word + 1] = (uint32_t)(value >> 32);
        f->writable[word + 1] = (uint32_t)(writable >> 32);
    }
}

static struct fake *add_bridge(uint32_t bus, uint32_t device, uint32_t secondary, uint32_t last)
{
    struct fake *f = add(bus, device, 0, PCI_BRIDGE, PCI_HEADER_BRIDGE);

    f->words[PCI_BUS_NUMBERS / 4] = 0x40000000 | last << 16 | secondary << 8 | bus;
    return f;
}

static void scan(void)
{
    for (uint32_t i = 0; i < fakes; i++)
        memcpy(machine[i].original, machine[i].words, sizeof(machine[i].words));
    memset(&table, 0xa5, sizeof(table));
    pci_scan(&access, &table);
    assert_false(quiet);
    for (uint32_t i = 0; i < fakes; i++)
        assert_memory_equal(machine[i].original, machine[i].words, sizeof(machine[i].words));
}

/* The functions found, in order, as 0xBBDF each: bus, device (up to 15), function. */
static void expect_found(const uint32_t *wanted, uint32_t count)
{
    assert_int_equal(table.count, count);
    for (uint32_t i = 0; i < count; i++) {
        pci_address_t address = table.functions[i].address;
        assert_int_equal(pci_bus(address) << 8 | pci_device(address) << 4 | pci_function(address),
                         wanted[i]);
    }
}

#define EXPECT_FOUND(...)                                                                          \
    expect_found((const uint32_t[]){ __VA_ARGS__ },                                                \
                 sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

/* ---- Functions and buses ---- */

static void test_nothing(void **state)
{
    (void)state;
    scan();
    assert_int_equal(table.count, 0);
    assert_int_equal(table.buses, 0);
    assert_int_equal(reads, 32);
}

static void test_what_is_read(void **state)
{
    (void)state;
    add(0, 3, 0, XHCI, PCI_HEADER_DEVICE);
    scan();
    const struct pci_device_info *info = &table.functions[0];
    assert_int_equal(table.count, 1);
    assert_int_equal(table.buses, 1);
    assert_int_equal(info->vendor, 0x8086);
    assert_int_equal(info->device, 0x1234);
    assert_int_equal(info->class, 0x0c);
    assert_int_equal(info->subclass, 0x03);
    assert_int_equal(info->interface, 0x30);
    assert_int_equal(info->header, PCI_HEADER_DEVICE);
    assert_int_equal(info->interrupt_line, 11);
    assert_int_equal(info->interrupt_pin, 2);
    assert_int_equal(info->bars[0].kind, PCI_BAR_NONE);
}

/* Functions above 0 count where function 0 says so; gaps among them are skipped. */
static void test_multifunction(void **state)
{
    (void)state;
    add(0, 1, 0, XHCI, MULTIFUNCTION);
    add(0, 1, 2, XHCI, 0);
    add(0, 1, 7, XHCI, 0);
    add(0, 2, 0, XHCI, 0);
    add(0, 2, 1, XHCI, 0);             /* an echo of function 0 */
    add(0, 3, 1, XHCI, MULTIFUNCTION); /* without a function 0 */
    add(0, 4, 0, XHCI, 0)->words[0] = 0x1234ffff;
    add(0, 5, 0, XHCI, 0)->words[0] = 0;
    scan();
    EXPECT_FOUND(0x10, 0x12, 0x17, 0x20);
}

/*
 * [0] B --- [2] B --- [5] F
 *     B --- [1] F              found by bus number
 */
static void test_bridges(void **state)
{
    (void)state;
    add(0, 0, 0, HOST_BRIDGE, 0);
    add_bridge(0, 1, 2, 5);
    add_bridge(0, 2, 1, 1);
    add_bridge(2, 0, 5, 5);
    add(5, 7, 0, XHCI, 0);
    add(1, 4, 0, XHCI, 0);
    add(3, 0, 0, XHCI, 0); /* nothing leads there */
    scan();
    EXPECT_FOUND(0x00, 0x10, 0x20, 0x140, 0x200, 0x570);
    assert_int_equal(table.buses, 4);
    assert_int_equal(table.functions[1].secondary, 2);
    assert_int_equal(table.functions[1].subordinate, 5);
}

/* [0] B --- [9] B --- [4] F: a bus behind has the lower number. */
static void test_lower_number_behind(void **state)
{
    (void)state;
    add_bridge(0, 0, 9, 9);
    add_bridge(9, 0, 4, 4);
    add(4, 0, 0, XHCI, 0);
    scan();
    EXPECT_FOUND(0x00, 0x900, 0x400);
}

/* Bridges to their own bus, in a circle, to bus 0 and to the same bus: each is visited once. */
static void test_loops(void **state)
{
    (void)state;
    add_bridge(0, 1, 1, 1);
    add_bridge(0, 2, 1, 1);
    add_bridge(0, 3, 0, 0); /* not set up */
    add_bridge(1, 1, 1, 255);
    add_bridge(1, 2, 2, 2);
    add_bridge(2, 1, 1, 1);
    add_bridge(2, 2, 255, 255);
    add(255, 15, 0, XHCI, 0);
    scan();
    EXPECT_FOUND(0x10, 0x20, 0x30, 0x110, 0x120, 0x210, 0x220, 0xfff0);
    assert_int_equal(table.buses, 4);
}

static void test_several_roots(void **state)
{
    (void)state;
    add(0, 0, 0, HOST_BRIDGE, MULTIFUNCTION);
    add(0, 0, 1, HOST_BRIDGE, 0);
    add(0, 0, 2, XHCI, 0); /* no root */
    add(1, 3, 0, XHCI, 0);
    add(2, 3, 0, XHCI, 0);
    scan();
    EXPECT_FOUND(0x00, 0x01, 0x02, 0x130);
}

static void test_cardbus(void **state)
{
    (void)state;
    struct fake *f = add(0, 4, 0, 0x060700, PCI_HEADER_CARDBUS);
    f->words[PCI_BUS_NUMBERS / 4] = 0x00060600;
    f->words[PCI_MEMORY_WINDOW / 4] = 0xfe90fe80; /* means something else there */
    set_bar(f, 0, 0xfe000000, 0xfffff000);
    add(6, 0, 0, XHCI, 0);
    scan();
    EXPECT_FOUND(0x40, 0x600);
    assert_true(table.functions[0].memory_window.end == 0);
    assert_int_equal(f->writes, 0);
}

/* More than the table holds: they are counted, bridges among them followed, but not written to. */
static void test_table_full(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 16 * 8; i++)
        add(0, i / 8, i % 8, XHCI, MULTIFUNCTION);
    struct fake *bridge = add_bridge(0, 16, 1, 1);
    add(1, 0, 0, XHCI, 0);
    scan();
    assert_int_equal(table.count, PCI_MAX_FUNCTIONS);
    assert_int_equal(table.left_out, 2);
    assert_int_equal(table.buses, 2);
    assert_int_equal(bridge->writes, 0);
}

/* A machine that answers everywhere: all is multifunction and a bridge to bus 0x81. */
static void test_ghosts_end(void **state)
{
    (void)state;
    ghosts = true;
    scan();
    assert_int_equal(table.count, PCI_MAX_FUNCTIONS);
    assert_in_range(table.left_out, 1, 256 * 256);
}

/* ---- Base address registers ---- */

static const struct pci_bar *bar(uint32_t number)
{
    return &table.functions[0].bars[number];
}

static void test_bars(void **state)
{
    (void)state;
    struct fake *f = add(0, 2, 0, XHCI, 0);
    set_bar(f, 0, 0xfd000008, 0xff000000);
    set_bar(f, 1, 0xe00000000cull, 0xffffffffffffc000);
    set_bar(f, 4, 0xc041, 0xffffffe0);
    set_bar(f, 5, 0, 0xfffff000); /* without an address */
    scan();
    assert_true(bar(0)->kind == PCI_BAR_MEMORY && bar(0)->base == 0xfd000000);
    assert_true(bar(0)->size == 16 * MIB && bar(0)->prefetchable && !bar(0)->wide);
    assert_true(bar(1)->kind == PCI_BAR_MEMORY && bar(1)->base == 0xe000000000);
    assert_true(bar(1)->size == 0x4000 && bar(1)->prefetchable && bar(1)->wide);
    assert_int_equal(bar(2)->kind, PCI_BAR_NONE); /* the upper half is no register of its own */
    assert_int_equal(bar(3)->kind, PCI_BAR_NONE);
    assert_true(bar(4)->kind == PCI_BAR_IO && bar(4)->base == 0xc040 && bar(4)->size == 32);
    assert_true(bar(5)->kind == PCI_BAR_MEMORY && bar(5)->base == 0 && bar(5)->size == 0x1000);
}

/* The command is written only where something is on, and the rest of it stays. */
static void test_decoding_off_before(void **state)
{
    (void)state;
    struct fake *f = add(0, 2, 0, XHCI, 0);
    f->words[PCI_COMMAND / 4] = 0xffff0404;
    set_bar(f, 0, 0xfd000000, 0xff000000);
    scan();
    assert_true(bar(0)->size == 16 * MIB);
    assert_int_equal(f->writes, 2 * PCI_BARS); /* to the registers alone */
}

/* One whose second half would pass for a register of its own, and one without a second half. */
static void test_odd_wide_bars(void **state)
{
    (void)state;
    struct fake *f = add(0, 2, 0, XHCI, 0);
    set_bar(f, 0, 0x8000000004, 0xfffffff000000000);
    set_bar(f, 5, 0xe0000004, 0xfffff000);
    scan();
    assert_true(bar(0)->base == 0x8000000000 && bar(0)->size == 0x1000000000);
    assert_int_equal(bar(1)->kind, PCI_BAR_NONE);
    assert_int_equal(bar(5)->kind, PCI_BAR_NONE);
}

/* Behind a bridge's two registers come its bus numbers, which a third one must not touch. */
static void test_bridge_bars_and_windows(void **state)
{
    (void)state;
    struct fake *f = add_bridge(0, 1, 1, 1);
    set_bar(f, 0, 0xfebf0004, 0xffffffffffffff00);
    f->words[PCI_IO_WINDOW / 4] = 0x2280d1c1;
    f->words[PCI_IO_UPPER / 4] = 0;
    f->words[PCI_MEMORY_WINDOW / 4] = 0xfe90fe80;
    f->words[PCI_PREFETCHABLE_WINDOW / 4] = 0x00010001;
    f->words[PCI_PREFETCHABLE_UPPER_BASE / 4] = 0x80;
    f->words[PCI_PREFETCHABLE_UPPER_LIMIT / 4] = 0x80;
    scan();
    const struct pci_device_info *info = &table.functions[0];
    assert_true(bar(0)->base == 0xfebf0000 && bar(0)->size == 256 && bar(0)->wide);
    assert_true(info->io_window.start == 0xc000 && info->io_window.end == 0xe000);
    assert_true(info->memory_window.start == 0xfe800000 && info->memory_window.end == 0xfea00000);
    assert_true(info->prefetchable_window.start == 0x8000000000 &&
                info->prefetchable_window.end == 0x8000100000);

    start(NULL);
    set_bar(add_bridge(0, 1, 1, 1), 1, 0xfebf0004, 0xffffff00);
    scan();
    assert_int_equal(bar(1)->kind, PCI_BAR_NONE);
}

/* Only enabled ones count, and nothing is written to them. */
static void test_roms(void **state)
{
    (void)state;
    add(0, 1, 0, XHCI, 0)->words[PCI_ROM / 4] = 0xfea00801;
    add(0, 2, 0, XHCI, 0)->words[PCI_ROM / 4] = 0xfeb00000;
    struct fake *bridge = add_bridge(0, 3, 0, 0);
    bridge->words[PCI_ROM / 4] = 0x00010001; /* the upper halves of its I/O window */
    bridge->words[PCI_BRIDGE_ROM / 4] = 0xfec007ff;
    add(0, 4, 0, XHCI, PCI_HEADER_CARDBUS)->words[PCI_ROM / 4] = 0xfea00001;
    scan();
    assert_int_equal(table.functions[0].rom, 0xfea00800);
    assert_int_equal(table.functions[1].rom, 0);
    assert_int_equal(table.functions[2].rom, 0xfec00000);
    assert_int_equal(table.functions[3].rom, 0);
}

/* ---- Moving ---- */

static void test_move(void **state)
{
    (void)state;
    struct fake *f = add(0, 2, 0, XHCI, 0);
    set_bar(f, 0, 0xfd000008, 0xff000000);
    set_bar(f, 2, 0xe000000004, 0xffffffffffffc000);
    scan();
    assert_true(pci_move_bar(&access, &table.functions[0], 2, 0x90000000));
    assert_int_equal(f->words[PCI_BAR0 / 4 + 2], 0x90000004);
    assert_int_equal(f->words[PCI_BAR0 / 4 + 3], 0);
    assert_true(bar(2)->base == 0x90000000 && bar(2)->size == 0x4000);
    assert_int_equal(f->words[PCI_COMMAND / 4], ALL_ON);
    assert_true(pci_move_bar(&access, &table.functions[0], 0, 0x91000000));
    assert_int_equal(f->words[PCI_BAR0 / 4], 0x91000008);
    assert_int_equal(f->words[PCI_BAR0 / 4 + 1], 0); /* no other half: not written */
    assert_true(bar(0)->base == 0x91000000);
    assert_false(quiet);
}

/* Registers that keep bits of what they had: all is put back. */
static void test_move_refused(void **state)
{
    (void)state;
    struct fake *f = add(0, 2, 0, XHCI, 0);
    set_bar(f, 0, 0xe000000004, 0xffffffffffffc000);
    set_bar(f, 2, 0xfd000000, 0xfff00000);
    scan();
    f->writable[PCI_BAR0 / 4 + 1] = 0xff;
    f->words[PCI_BAR0 / 4 + 1] = 0x1e0;
    assert_false(pci_move_bar(&access, &table.functions[0], 0, 0x90000000));
    assert_int_equal(f->words[PCI_BAR0 / 4], 0x00000004);
    assert_int_equal(f->words[PCI_BAR0 / 4 + 1], 0x1e0);
    assert_true(bar(0)->base == 0xe000000000);
    assert_false(pci_move_bar(&access, &table.functions[0], 2, 0x90010000));
    assert_int_equal(f->words[PCI_BAR0 / 4 + 2], 0xfd000000);
    assert_true(bar(2)->base == 0xfd000000);
    assert_int_equal(f->words[PCI_COMMAND / 4], ALL_ON);
}

/* Host bridges are only read, and so are functions known to have something else there. */
static void test_not_probed(void **state)
{
    (void)state;
    struct fake *host = add(0, 0, 0, HOST_BRIDGE, 0);
    struct fake *odd = add(0, 1, 0, 0x088000, 0);
    set_bar(host, 0, 0xe0000008, 0xf0000000);
    odd->words[0] = 0x6fa08086;
    set_bar(odd, 0, 0x12345678, 0xffffffff);
    scan();
    assert_int_equal(host->writes, 0);
    assert_true(bar(0)->base == 0xe0000000 && bar(0)->size == 0 && bar(0)->prefetchable);
    assert_int_equal(odd->writes, 0);
    assert_int_equal(table.functions[1].bars[0].kind, PCI_BAR_NONE);
}

/* Random registers, random writable bits: everything ends, and all is as it was. */
static void test_random_machines(void **state)
{
    struct prng prng = { 7 };

    (void)state;
    for (uint32_t round = 0; round < 100; round++) {
        start(NULL);
        for (uint32_t i = 0; i < 40; i++) {
            struct fake *f = add(prng_below(&prng, 3), prng_below(&prng, 32),
                                 prng_once_in(&prng, 3) ? prng_below(&prng, 8) : 0, 0, 0);
            if (find(f->address) != f) {
                fakes--;
                continue;
            }
            for (uint32_t word = 1; word < WORDS; word++)
                f->words[word] = prng_next(&prng);
            f->words[PCI_HEADER / 4] &= 0xff81ffff; /* header 0 or 1, or the same multifunction */
            for (uint32_t word = PCI_BAR0 / 4; word < PCI_BAR0 / 4 + PCI_BARS; word++)
                f->writable[word] = prng_next(&prng);
        }
        scan();
        assert_in_range(table.count + table.left_out, 0, fakes);
    }
}

/* ---- Capabilities ---- */

static void test_capabilities(void **state)
{
    (void)state;
    struct fake *f = add(0, 1, 0, XHCI, 0);
    f->words[PCI_CAPABILITIES / 4] = 0x53; /* the two lowest bits mean nothing */
    f->words[0x50 / 4] = 0x00028001;
    f->words[0x80 / 4] = 0x0000fc05;
    f->words[0xfc / 4] = 0x00000010;
    assert_int_equal(pci_scan_capability(&access, f->address, 0x01), 0x50);
    assert_int_equal(pci_scan_capability(&access, f->address, 0x05), 0x80);
    assert_int_equal(pci_scan_capability(&access, f->address, 0x10), 0xfc);
    assert_int_equal(pci_scan_capability(&access, f->address, 0x11), 0);

    f->words[0xfc / 4] = 0x00005010; /* a circle */
    assert_int_equal(pci_scan_capability(&access, f->address, 0x11), 0);
    f->words[0xfc / 4] = 0x00003c10; /* into the header */
    assert_int_equal(pci_scan_capability(&access, f->address, 0x0b), 0);
    f->words[0xfc / 4] = 0xffffffff;
    assert_int_equal(pci_scan_capability(&access, f->address, 0xff), 0);
    f->words[PCI_COMMAND / 4] = 7; /* says that it has none */
    assert_int_equal(pci_scan_capability(&access, f->address, 0x01), 0);
    assert_int_equal(pci_scan_capability(&access, PCI_ADDRESS(0, 9, 0), 0x01), 0); /* not there */

    f = add(0, 2, 0, 0x060700, PCI_HEADER_CARDBUS);
    f->words[0x14 / 4] = 0xa0;
    f->words[0xa0 / 4] = 0x00000001;
    assert_int_equal(pci_scan_capability(&access, f->address, 0x01), 0xa0);
}

/* ---- Power ---- */

static uint32_t slept_ms;

static void sleep_ms(uint32_t ms)
{
    assert_false(quiet);
    slept_ms += ms;
    for (uint32_t i = 0; i < fakes; i++)
        machine[i].is_waking = false;
}

static struct fake *add_sleeper(uint32_t device, uint32_t state)
{
    struct fake *f = add(0, device, 0, XHCI, 0);

    set_bar(f, 0, 0xfebf0004, 0xffffffffffff0000);
    f->words[PCI_CAPABILITIES / 4] = 0x50;
    f->words[0x50 / 4] = 0x00030001;
    f->words[0x54 / 4] = 0x8100 | state; /* it would wake others, and did */
    f->power = 0x54;
    return f;
}

static void test_waking(void **state)
{
    (void)state;
    for (uint32_t from = 1; from <= 3; from++) {
        struct fake *f = add_sleeper(from, from);
        memcpy(f->original, f->words, sizeof(f->words));
        slept_ms = 0;
        assert_int_equal(pci_wake_function(&access, f->address, sleep_ms), from);
        assert_true(slept_ms >= 10);
        f->original[0x54 / 4] = 0;
        assert_memory_equal(f->original, f->words, sizeof(f->words));
        assert_int_equal(pci_wake_function(&access, f->address, sleep_ms), 0);
    }
}

static void test_who_is_not_woken(void **state)
{
    (void)state;
    struct fake *f = add(0, 1, 0, XHCI, 0);

    slept_ms = 0;
    f->words[PCI_CAPABILITIES / 4] = 0x50;
    assert_int_equal(pci_wake_function(&access, f->address, sleep_ms), 0); /* has nothing for it */
    f->words[PCI_CAPABILITIES / 4] = 0xfc;
    f->words[0xfc / 4] = 1; /* and what it says lies outside */
    assert_int_equal(pci_wake_function(&access, f->address, sleep_ms), 0);
    f = add_sleeper(2, 0);
    assert_int_equal(pci_wake_function(&access, f->address, sleep_ms), 0);
    f->words[0x54 / 4] = UINT32_MAX;
    assert_int_equal(pci_wake_function(&access, f->address, sleep_ms), 0);
    f = add_sleeper(3, 3);
    f->words[PCI_HEADER / 4] |= PCI_HEADER_BRIDGE << 16;
    assert_int_equal(pci_wake_function(&access, f->address, sleep_ms), 0);
    assert_int_equal(pci_wake_function(&access, PCI_ADDRESS(0, 9, 0), sleep_ms), 0);
    assert_int_equal(slept_ms, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nothing, start),
        cmocka_unit_test_setup(test_what_is_read, start),
        cmocka_unit_test_setup(test_multifunction, start),
        cmocka_unit_test_setup(test_bridges, start),
        cmocka_unit_test_setup(test_lower_number_behind, start),
        cmocka_unit_test_setup(test_loops, start),
        cmocka_unit_test_setup(test_several_roots, start),
        cmocka_unit_test_setup(test_cardbus, start),
        cmocka_unit_test_setup(test_table_full, start),
        cmocka_unit_test_setup(test_ghosts_end, start),
        cmocka_unit_test_setup(test_bars, start),
        cmocka_unit_test_setup(test_decoding_off_before, start),
        cmocka_unit_test_setup(test_odd_wide_bars, start),
        cmocka_unit_test_setup(test_bridge_bars_and_windows, start),
        cmocka_unit_test_setup(test_not_probed, start),
        cmocka_unit_test_setup(test_roms, start),
        cmocka_unit_test_setup(test_move, start),
        cmocka_unit_test_setup(test_move_refused, start),
        cmocka_unit_test_setup(test_random_machines, start),
        cmocka_unit_test_setup(test_capabilities, start),
        cmocka_unit_test_setup(test_waking, start),
        cmocka_unit_test_setup(test_who_is_not_woken, start),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
