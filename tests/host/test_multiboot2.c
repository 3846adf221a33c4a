/*
 * The Multiboot2 tag parser: what a loader writes, and what no loader should.
 *
 * Blocks are parsed from heap buffers of exactly their size, at every alignment: a byte read
 * beyond the end is seen by AddressSanitizer.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <multiboot2.h>
#include "brief.h"
#include "support.h"

/* ---- Writing a block ---- */

enum tag_type {
    END = 0,
    COMMAND_LINE = 1,
    LOADER_NAME = 2,
    MODULE = 3,
    MEMORY_MAP = 6,
    FRAMEBUFFER = 8,
    EFI32 = 11,
    EFI64 = 12,
    RSDP_OLD = 14,
    RSDP_NEW = 15,
    UNKNOWN = 77,
};

static struct {
    uint8_t bytes[8192];
    uint32_t size; /* so far */
    uint32_t tag;  /* offset of the tag that was begun last */
} block;

static void put(uint64_t value, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++, value >>= 8)
        block.bytes[block.size++] = (uint8_t)value;
}

static void set32(uint32_t offset, uint32_t value)
{
    for (uint32_t i = 0; i < 4; i++)
        block.bytes[offset + i] = (uint8_t)(value >> (8 * i));
}

static void begin_block(void)
{
    memset(&block, 0, sizeof(block));
    put(0, 8);
}

static void begin_tag(enum tag_type type)
{
    while (block.size % 8 != 0)
        put(0, 1);
    block.tag = block.size;
    put(type, 4);
    put(0, 4);
}

/* Writes the tag's size, and the block's in case that this was its last tag. */
static void end_tag(void)
{
    set32(block.tag + 4, block.size - block.tag);
    set32(0, block.size);
}

static void put_end(void)
{
    begin_tag(END);
    end_tag();
}

static void put_string(enum tag_type type, const char *text)
{
    begin_tag(type);
    for (uint32_t i = 0; i <= strlen(text); i++)
        put((uint8_t)text[i], 1);
    end_tag();
}

static void begin_memory_map(uint32_t entry_size)
{
    begin_tag(MEMORY_MAP);
    put(entry_size, 4);
    put(0, 4);
    end_tag();
}

static void put_region(uint64_t base, uint64_t length, uint32_t type)
{
    put(base, 8);
    put(length, 8);
    put(type, 4);
    put(0, 4);
    end_tag();
}

static void put_module(uint32_t start, uint32_t end, const char *command_line)
{
    begin_tag(MODULE);
    put(start, 4);
    put(end, 4);
    for (uint32_t i = 0; i <= strlen(command_line); i++)
        put((uint8_t)command_line[i], 1);
    end_tag();
}

static void put_framebuffer(void)
{
    begin_tag(FRAMEBUFFER);
    put(0x1fd000000, 8);
    put(4096, 4);
    put(1024, 4);
    put(768, 4);
    put(32, 1);
    put(MULTIBOOT2_FRAMEBUFFER_RGB, 1);
    put(0, 2);
    for (uint32_t i = 0; i < 6; i++)
        put(16 + i, 1); /* positions and sizes */
    end_tag();
}

/* An indexed one that says it has `said` colours and has `there`, the last perhaps in part. */
static void put_indexed(uint32_t said, uint32_t there, uint32_t more)
{
    begin_tag(FRAMEBUFFER);
    put(0xfd000000, 8);
    put(1024, 4);
    put(1024, 4);
    put(768, 4);
    put(8, 1);
    put(MULTIBOOT2_FRAMEBUFFER_INDEXED, 1);
    put(0, 2);
    put(said, 2);
    for (uint32_t i = 0; i < there; i++)
        put(i | 0x5500 | i << 16, 3);
    for (; more > 0; more--)
        put(0xff, 1);
    end_tag();
}

/* Bytes that count from `first` on: the parser only copies them. */
static void put_rsdp(enum tag_type type, uint32_t size, uint32_t first)
{
    begin_tag(type);
    for (uint32_t i = 0; i < size; i++)
        put(first + i, 1);
    end_tag();
}

/* A block as GRUB writes it, with two modules, and two tags that the kernel does not know. */
static void put_good_block(void)
{
    begin_block();
    put_string(COMMAND_LINE, "selftest keymap=de");
    put_string(LOADER_NAME, "GRUB 2.06-13+deb12u1");
    begin_tag(UNKNOWN);
    put(0x1122334455, 5);
    end_tag();
    put_module(0x200000, 0x201234, "first module");
    begin_memory_map(24);
    put_region(0, 0x9fc00, 1);
    put_region(0x9fc00, 0x400, 2);
    put_region(0x100000, 0x7ee0000, 1);
    put_region(0x100000000, 0x80000000, 20);
    put_framebuffer();
    put_rsdp(RSDP_OLD, 20, 100);
    put_rsdp(RSDP_NEW, 36, 200);
    begin_tag(UNKNOWN);
    end_tag();
    put_module(0, 0, "");
    put_end();
}

/* ---- Reading it ---- */

static struct multiboot2 mb;

/* Opens a copy that lies `shift` bytes into a buffer that ends where the block ends. */
static enum multiboot2_status open_copy(uint32_t available, uint32_t shift)
{
    return multiboot2_open(&mb, exact_copy(block.bytes, available, shift), available);
}

static void open_block(void)
{
    assert_int_equal(open_copy(block.size, 0), MULTIBOOT2_ITEM);
}

/* All that a block gives. */
struct contents {
    struct multiboot2_region regions[32];
    struct multiboot2_module modules[8];
    uint32_t region_count, module_count;
    enum multiboot2_status regions_end, modules_end;
    struct multiboot2_framebuffer fb;
    bool has_fb;
    char command_line[64], loader_name[32];
    struct multiboot2_rsdp rsdp_old, rsdp_new;
    bool has_rsdp_old, has_rsdp_new;
};

/* Walks the whole block. A walk over n bytes cannot have more than n / 8 items: that it ends. */
static void read_all(struct contents *all)
{
    struct multiboot2_walk walk = { 0, 0 };
    struct multiboot2_region region;
    struct multiboot2_module module;

    memset(all, 0, sizeof(*all));
    while ((all->regions_end = multiboot2_next_region(&mb, &walk, &region)) == MULTIBOOT2_ITEM) {
        if (all->region_count < ARRAY_SIZE(all->regions))
            all->regions[all->region_count] = region;
        all->region_count++;
        assert_in_range(all->region_count, 1, mb.size / 8);
    }
    walk = (struct multiboot2_walk){ 0, 0 };
    while ((all->modules_end = multiboot2_next_module(&mb, &walk, &module)) == MULTIBOOT2_ITEM) {
        if (all->module_count < ARRAY_SIZE(all->modules))
            all->modules[all->module_count] = module;
        all->module_count++;
        assert_in_range(all->module_count, 1, mb.size / 8);
        assert_true(module.start <= module.end);
        assert_in_range(strnlen(module.command_line, sizeof(module.command_line)), 0, 127);
    }
    all->has_fb = multiboot2_framebuffer(&mb, &all->fb);
    multiboot2_command_line(&mb, all->command_line, sizeof(all->command_line));
    multiboot2_loader_name(&mb, all->loader_name, sizeof(all->loader_name));
    all->has_rsdp_old = multiboot2_rsdp(&mb, MULTIBOOT2_RSDP_OLD, &all->rsdp_old);
    all->has_rsdp_new = multiboot2_rsdp(&mb, MULTIBOOT2_RSDP_NEW, &all->rsdp_new);
    assert_in_range(all->rsdp_old.size, 0, MULTIBOOT2_RSDP_MAX);
    assert_in_range(all->rsdp_new.size, 0, MULTIBOOT2_RSDP_MAX);
    assert_in_range(strnlen(all->command_line, sizeof(all->command_line)), 0, 63);
    assert_in_range(strnlen(all->loader_name, sizeof(all->loader_name)), 0, 31);
}

/* The block's regions are `count` good ones, then the walk ends as said. */
static void expect_regions(uint32_t count, enum multiboot2_status end)
{
    struct contents all;

    open_block();
    read_all(&all);
    assert_int_equal(all.region_count, count);
    assert_int_equal(all.regions_end, end);
}

static void expect_modules(uint32_t count, enum multiboot2_status end)
{
    struct contents all;

    open_block();
    read_all(&all);
    assert_int_equal(all.module_count, count);
    assert_int_equal(all.modules_end, end);
}

/* ---- Good blocks ---- */

static void expect_region(const struct multiboot2_region *region, uint64_t base, uint64_t length,
                          uint32_t type)
{
    assert_true(region->base == base);
    assert_true(region->length == length);
    assert_int_equal(region->type, type);
}

static void expect_rsdp(const struct multiboot2_rsdp *rsdp, uint32_t size, uint32_t first)
{
    assert_int_equal(rsdp->size, size);
    for (uint32_t i = 0; i < MULTIBOOT2_RSDP_MAX; i++)
        assert_int_equal(rsdp->bytes[i], i < size ? (uint8_t)(first + i) : 0);
}

static void test_good_block(void **state)
{
    struct contents all;

    (void)state;
    put_good_block();
    for (uint32_t shift = 0; shift < 16; shift++) {
        assert_int_equal(open_copy(block.size, shift), MULTIBOOT2_ITEM);
        read_all(&all);
        assert_int_equal(all.region_count, 4);
        assert_int_equal(all.regions_end, MULTIBOOT2_END);
        expect_region(&all.regions[0], 0, 0x9fc00, 1);
        expect_region(&all.regions[1], 0x9fc00, 0x400, 2);
        expect_region(&all.regions[2], 0x100000, 0x7ee0000, 1);
        expect_region(&all.regions[3], 0x100000000, 0x80000000, 20);

        assert_int_equal(all.module_count, 2);
        assert_int_equal(all.modules_end, MULTIBOOT2_END);
        assert_int_equal(all.modules[0].start, 0x200000);
        assert_int_equal(all.modules[0].end, 0x201234);
        assert_string_equal(all.modules[0].command_line, "first module");
        assert_int_equal(all.modules[1].start, 0);
        assert_int_equal(all.modules[1].end, 0);
        assert_string_equal(all.modules[1].command_line, "");

        assert_true(all.has_fb);
        assert_true(all.fb.address == 0x1fd000000);
        assert_int_equal(all.fb.pitch, 4096);
        assert_int_equal(all.fb.width, 1024);
        assert_int_equal(all.fb.height, 768);
        assert_int_equal(all.fb.bits, 32);
        assert_int_equal(all.fb.type, MULTIBOOT2_FRAMEBUFFER_RGB);
        assert_true(all.has_rsdp_old && all.has_rsdp_new);
        expect_rsdp(&all.rsdp_old, 20, 100);
        expect_rsdp(&all.rsdp_new, 36, 200);
        assert_string_equal(all.command_line, "selftest keymap=de");
        assert_string_equal(all.loader_name, "GRUB 2.06-13+deb12u1");
    }
}

/* A block of nothing but its head, with or without an end tag, is empty and no error. */
static void test_empty_block(void **state)
{
    struct contents all;

    (void)state;
    for (int end = 0; end < 2; end++) {
        begin_block();
        set32(0, 8);
        if (end)
            put_end();
        open_block();
        read_all(&all);
        assert_int_equal(all.region_count + all.module_count, 0);
        assert_int_equal(all.regions_end, MULTIBOOT2_END);
        assert_int_equal(all.modules_end, MULTIBOOT2_END);
        assert_false(all.has_fb);
        assert_false(all.has_rsdp_old || all.has_rsdp_new);
        assert_string_equal(all.command_line, "");
        assert_string_equal(all.loader_name, "");
    }
}

/* The end tag ends the walk, though there are more tags behind it. */
static void test_end_tag(void **state)
{
    (void)state;
    begin_block();
    put_module(1, 2, "before");
    put_end();
    put_module(3, 4, "behind");
    expect_modules(1, MULTIBOOT2_END);
}

/* Without an end tag the walk ends with the block, be its size a multiple of 8 or not. */
static void test_no_end_tag(void **state)
{
    char name[10] = "";

    (void)state;
    for (int length = 0; length < 9; length++) {
        begin_block();
        put_module(1, 2, name);
        expect_modules(1, MULTIBOOT2_END);
        strcat(name, "x");
    }
}

/* A status has words of its own, whatever its number. */
static void test_status_texts(void **state)
{
    (void)state;
    for (int status = MULTIBOOT2_ITEM; status <= MULTIBOOT2_BAD_ENTRY_SIZE + 1; status++) {
        const char *text = multiboot2_status_text((enum multiboot2_status)status);

        assert_true(strlen(text) > 5);
        for (int other = MULTIBOOT2_ITEM; other < status; other++)
            assert_string_not_equal(text, multiboot2_status_text((enum multiboot2_status)other));
    }
}

/* ---- Impossible sizes ---- */

/* The block's own size: below its head, past what can be read, or not to be believed. */
static void test_block_size(void **state)
{
    static uint8_t large[MULTIBOOT2_MAX_SIZE + 8];
    static const uint32_t wrong[] = {
        0, 1, 4, 7, 25, 0x1000, MULTIBOOT2_MAX_SIZE, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff,
    };

    (void)state;
    begin_block();
    put_module(1, 2, "");
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct contents all;

        mb.size = 24; /* of an earlier block */
        set32(0, wrong[i]);
        assert_int_equal(open_copy(24, 0), MULTIBOOT2_BAD_SIZE);
        assert_int_equal(mb.size, 0);
        read_all(&all); /* whoever reads on finds it empty */
        assert_int_equal(all.regions_end, MULTIBOOT2_END);
    }
    for (uint32_t size = 8; size <= 24; size++) {
        set32(0, size);
        assert_int_equal(open_copy(24, 0), MULTIBOOT2_ITEM);
        assert_int_equal(mb.size, size);
    }
    for (uint32_t available = 0; available < 24; available++)
        assert_int_equal(open_copy(available, 0), MULTIBOOT2_BAD_SIZE);

    for (uint32_t more = 0; more < 2; more++) {
        uint32_t size = MULTIBOOT2_MAX_SIZE + more;

        memcpy(large, &size, sizeof(size));
        assert_int_equal(multiboot2_open(&mb, large, sizeof(large)),
                         more ? MULTIBOOT2_BAD_SIZE : MULTIBOOT2_ITEM);
    }
}

/* A tag smaller than its head, or one that runs past the end: what came before it stays valid. */
static void test_tag_size(void **state)
{
    static const enum tag_type types[] = { MODULE, MEMORY_MAP, COMMAND_LINE, UNKNOWN };
    static const uint32_t wrong[] = { 0,          1,          2,          3,         4,
                                      5,          6,          7,          33,        0x7fffffff,
                                      0x80000000, 0xfffffff0, 0xfffffff8, 0xffffffff };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(types) * ARRAY_SIZE(wrong); i++) {
        begin_block();
        put_module(1, 2, "good");
        begin_memory_map(24);
        put_region(1, 2, 3);
        begin_tag(types[i % ARRAY_SIZE(types)]);
        put(8ull << 32 | UNKNOWN, 8); /* whoever reads on finds good tags */
        put(8ull << 32 | UNKNOWN, 8);
        end_tag();
        uint32_t broken = block.tag;
        put_end(); /* so 32 bytes from the broken tag on */
        set32(broken + 4, wrong[i / ARRAY_SIZE(types)]);
        expect_regions(1, MULTIBOOT2_BAD_TAG);
        expect_modules(1, MULTIBOOT2_BAD_TAG);
    }
}

/* A broken tag stays broken, an end the end: asking again neither reads on nor ends differently. */
static void test_ask_again(void **state)
{
    static const struct {
        enum tag_type type;
        uint32_t size;
        enum multiboot2_status status;
    } cases[] = {
        { UNKNOWN, 0, MULTIBOOT2_BAD_TAG },
        { UNKNOWN, 1000, MULTIBOOT2_BAD_TAG },
        { MEMORY_MAP, 8, MULTIBOOT2_BAD_TAG },
        { END, 8, MULTIBOOT2_END },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct multiboot2_walk walk = { 0, 0 }, modules = { 0, 0 };
        struct multiboot2_region region;
        struct multiboot2_module module;

        begin_block();
        begin_tag(cases[i].type);
        set32(block.tag + 4, cases[i].size);
        begin_memory_map(24); /* for who reads on */
        put_region(1, 2, 3);
        put_module(1, 2, "behind");
        open_block();
        for (int again = 0; again < 3; again++) {
            region = (struct multiboot2_region){ 7, 7, 7 };
            assert_int_equal(multiboot2_next_region(&mb, &walk, &region), cases[i].status);
            expect_region(&region, 0, 0, 0);
        }
        if (cases[i].type == MEMORY_MAP)
            continue; /* for modules it is a tag like any other */
        for (int again = 0; again < 3; again++) {
            module = (struct multiboot2_module){ 7, 8, "old" };
            assert_int_equal(multiboot2_next_module(&mb, &modules, &module), cases[i].status);
            assert_int_equal(module.start | module.end, 0);
            assert_string_equal(module.command_line, "");
        }
    }
}

/* A walk that stands where this block has nothing finds nothing there, and reads nothing outside.
 */
static void test_walk_of_another_block(void **state)
{
    static const uint32_t entries[] = { 0x1000, 0x7fffffff, 0xfffffff0 - 8 };

    (void)state;
    begin_block();
    begin_memory_map(24);
    put_region(1, 2, 3);
    open_block();
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        struct multiboot2_walk walk = { 8, entries[i] };
        struct multiboot2_region region = { 7, 7, 7 };

        assert_int_equal(multiboot2_next_region(&mb, &walk, &region), MULTIBOOT2_BAD_TAG);
        expect_region(&region, 0, 0, 0);
    }
    struct multiboot2_walk behind = { block.size + 8, 0 };
    struct multiboot2_module module;
    assert_int_equal(multiboot2_next_module(&mb, &behind, &module), MULTIBOOT2_END);
}

/* A tag may be too short for what it should hold, be there more bytes behind it or not. */
static void test_short_tags(void **state)
{
    struct contents all;

    (void)state;
    for (uint32_t size = 8; size < 32; size++) {
        begin_block();
        begin_memory_map(24);
        put(0, 16);
        set32(block.tag + 4, size);
        set32(0, 8 + size);
        expect_regions(0, size < 16 ? MULTIBOOT2_BAD_TAG : MULTIBOOT2_END);

        begin_block();
        put_module(1, 2, "1234567890123456789");
        set32(block.tag + 4, size);
        open_block();
        read_all(&all);
        assert_int_equal(all.module_count, size < 16 ? 0 : 1);
        set32(0, 8 + size);
        expect_modules(size < 16 ? 0 : 1, size < 16 ? MULTIBOOT2_BAD_TAG : MULTIBOOT2_END);
    }
}

/* A framebuffer's colours count only if they are there to the last byte. */
static void test_short_framebuffers(void **state)
{
    (void)state;
    for (uint32_t size = 8; size <= 38; size++) {
        struct multiboot2_framebuffer fb, nothing = { 0 };
        uint8_t all = size == 38;

        begin_block();
        put_framebuffer();
        set32(block.tag + 4, size);
        open_block();
        assert_int_equal(multiboot2_framebuffer(&mb, &fb), size >= 30);
        if (size < 30)
            assert_memory_equal(&fb, &nothing, sizeof(fb));
        assert_int_equal(fb.red.position, all * 16);
        assert_int_equal(fb.red.size, all * 17);
        assert_int_equal(fb.green.position, all * 18);
        assert_int_equal(fb.green.size, all * 19);
        assert_int_equal(fb.blue.position, all * 20);
        assert_int_equal(fb.blue.size, all * 21);
        assert_int_equal(fb.colours, 0);
    }
}

/* What stands in a broken tag, or is not there, is not given. */
static void test_broken_single_tags(void **state)
{
    static const enum tag_type types[] = { COMMAND_LINE, RSDP_NEW, UNKNOWN };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        struct multiboot2_rsdp rsdp;
        char text[8] = "#######";

        begin_block();
        put_string(types[i], "abc");
        if (types[i] != UNKNOWN)
            set32(block.tag + 4, 1000);
        open_block();
        multiboot2_command_line(&mb, text, sizeof(text));
        assert_string_equal(text, "");
        assert_false(multiboot2_rsdp(&mb, MULTIBOOT2_RSDP_NEW, &rsdp));
        expect_rsdp(&rsdp, 0, 0);
    }
}

/* Measures that make sense, each with one thing changed that does not. */
static void test_framebuffer_ranges(void **state)
{
    static const struct {
        uint64_t address;
        uint32_t pitch, width, height;
        uint8_t bits;
        bool valid;
    } cases[] = {
        { 0x4000000000, 8192, 1920, 1080, 32, true },
        { 0xb8000, 160, 80, 25, 16, true },
        { 0x80000000, 5464, 1366, 768, 32, true },
        { 0x80000000, 5463, 1366, 768, 32, false },
        { 0x80000000, 2732, 1366, 768, 15, true }, /* 15 bits take two bytes */
        { 0x80000000, 2731, 1366, 768, 15, false },
        { 0x80000000, 2732, 1366, 768, 9, true }, /* as many as 9 do */
        { 0x80000000, 2731, 1366, 768, 9, false },
        { 0x80000000, 10928, 1366, 768, 64, true },
        { 0x80000000, 10927, 1366, 768, 64, false },
        { 0x80000000, 1, 1, 1, 8, true },
        { 0x80000000, 5464, 0, 768, 32, false },
        { 0x80000000, 5464, 1366, 0, 32, false },
        { 0, 5464, 1366, 768, 32, false },
        { 0x1000, 0xffffffff, 0x40000001, 1, 32, false }, /* the row's bytes past 32 bits */
        { 0x1000, 65536, 16384, 8192, 32, true },
        { 0x1000, 65537, 16384, 8192, 32, false },
        { 0x1000, 0xffffffff, 1, 0xffffffff, 32, false },
        { 0xfffffffffff00000, 4096, 1024, 255, 32, true },
        { 0xfffffffffff00000, 4096, 1024, 256, 32, false },
    };

    (void)state;
    for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct multiboot2_framebuffer fb = { .address = cases[i].address,
                                             .pitch = cases[i].pitch,
                                             .width = cases[i].width,
                                             .height = cases[i].height,
                                             .bits = cases[i].bits };
        uint64_t start, end;

        assert_int_equal(multiboot2_framebuffer_range(&fb, &start, &end), cases[i].valid);
        if (cases[i].valid) {
            assert_int_equal(start, fb.address);
            assert_int_equal(end, fb.address + (uint64_t)fb.pitch * fb.height);
        }
    }
}

/* The palette is as long as it says and as the tag reaches, whichever is less. */
static void test_palettes(void **state)
{
    static const struct {
        uint32_t said, there, more, colours;
    } cases[] = {
        { 0, 0, 0, 0 },       { 2, 2, 0, 2 },       { 2, 200, 0, 2 },     { 3, 2, 0, 2 },
        { 3, 2, 2, 2 },       { 3, 2, 3, 3 },       { 256, 256, 0, 256 }, { 0xffff, 256, 1, 256 },
        { 300, 300, 0, 300 }, { 300, 600, 0, 300 },
    };

    (void)state;
    for (uint32_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct multiboot2_framebuffer fb;
        struct multiboot2_colour colour = { 9, 9, 9 };

        begin_block();
        put_indexed(cases[i].said, cases[i].there, cases[i].more);
        open_block();
        assert_true(multiboot2_framebuffer(&mb, &fb));
        assert_int_equal(fb.colours, cases[i].colours);
        assert_int_equal(fb.red.size, 0);
        assert_false(multiboot2_palette(&mb, fb.colours, &colour));
        assert_int_equal(colour.red | colour.green | colour.blue, 0);
        assert_false(multiboot2_palette(&mb, 0xffffffff, &colour));
        for (uint32_t j = 0; j < fb.colours; j++)
            assert_true(multiboot2_palette(&mb, j, &colour));
        if (fb.colours > 1) {
            assert_true(multiboot2_palette(&mb, 1, &colour));
            assert_int_equal(colour.red, 1);
            assert_int_equal(colour.green, 0x55);
            assert_int_equal(colour.blue, 1);
        }
    }
    begin_block();
    put_framebuffer();
    open_block();
    struct multiboot2_colour colour;
    assert_false(multiboot2_palette(&mb, 0, &colour)); /* RGB has none */
}

/* A root pointer of any size is copied as far as there is room; one of nothing is none. */
static void test_rsdp_sizes(void **state)
{
    struct multiboot2_rsdp rsdp;

    (void)state;
    for (uint32_t size = 0; size <= 100; size++) {
        uint32_t copied = size < MULTIBOOT2_RSDP_MAX ? size : MULTIBOOT2_RSDP_MAX;

        begin_block();
        put_rsdp(RSDP_NEW, size, 7);
        open_block();
        assert_int_equal(multiboot2_rsdp(&mb, MULTIBOOT2_RSDP_NEW, &rsdp), size > 0);
        expect_rsdp(&rsdp, copied, 7);
        assert_false(multiboot2_rsdp(&mb, MULTIBOOT2_RSDP_OLD, &rsdp));
        expect_rsdp(&rsdp, 0, 0);
    }
}

static void test_firmware(void **state)
{
    static const struct {
        enum tag_type tag;
        enum multiboot2_firmware firmware;
    } cases[] = { { UNKNOWN, MULTIBOOT2_BIOS },
                  { EFI32, MULTIBOOT2_EFI32 },
                  { EFI64, MULTIBOOT2_EFI64 } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        begin_block();
        put_string(LOADER_NAME, "GRUB");
        begin_tag(cases[i].tag);
        put(0x12345678, cases[i].tag == EFI32 ? 4 : 8);
        end_tag();
        put_end();
        open_block();
        assert_int_equal(multiboot2_firmware(&mb), cases[i].firmware);
    }
}

/* ---- Memory maps ---- */

/* Entries may be larger than we know, by multiples of 8; of any other shape they are not read. */
static void test_entry_size(void **state)
{
    static const uint32_t wrong[] = { 0, 1, 8, 16, 20, 23, 25, 28, 31, 0x7fffffff, 0xffffffff };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        begin_block();
        begin_memory_map(wrong[i]);
        put_region(1, 2, 3);
        put_region(4, 5, 6);
        put_end();
        expect_regions(0, MULTIBOOT2_BAD_ENTRY_SIZE);
    }
    for (uint32_t size = 24; size <= 48; size += 8) {
        struct contents all;

        begin_block();
        begin_memory_map(size);
        for (uint32_t i = 0; i < 3; i++) {
            put_region(i, 10 + i, 20 + i);
            for (uint32_t j = 24; j < size; j++)
                put(0xee, 1);
        }
        end_tag();
        put_end();
        expect_regions(3, MULTIBOOT2_END);
        read_all(&all);
        for (uint32_t i = 0; i < 3; i++)
            expect_region(&all.regions[i], i, 10 + i, 20 + i);
    }
    begin_block();
    begin_memory_map(0xfffffff8); /* no entry of that size fits */
    put_region(1, 2, 3);
    expect_regions(0, MULTIBOOT2_END);
}

/* A last entry that the tag cuts off is no entry, however little of it is missing. */
static void test_cut_entry(void **state)
{
    (void)state;
    for (uint32_t cut = 0; cut <= 48; cut++) {
        begin_block();
        begin_memory_map(24);
        put_region(1, 2, 3);
        put_region(4, 5, 6);
        block.size -= cut;
        end_tag();
        expect_regions((48 - cut) / 24, MULTIBOOT2_END);
        put_end();
        expect_regions((48 - cut) / 24, MULTIBOOT2_END);
    }
}

/* More than one memory map tag: all entries count, in order; a map may be empty. */
static void test_several_maps(void **state)
{
    struct contents all;

    (void)state;
    begin_block();
    begin_memory_map(24);
    begin_memory_map(24);
    put_region(1, 2, 3);
    put_module(0, 0, "");
    begin_memory_map(32);
    put_region(4, 5, 6);
    put(0, 8);
    end_tag();
    begin_memory_map(24);
    put_end();
    expect_regions(2, MULTIBOOT2_END);
    read_all(&all);
    expect_region(&all.regions[0], 1, 2, 3);
    expect_region(&all.regions[1], 4, 5, 6);
}

/* ---- Modules and strings ---- */

/* An end below the start ends the walk; an empty module does not, wherever it lies. */
static void test_module_borders(void **state)
{
    (void)state;
    begin_block();
    put_module(0, 0, "empty");
    put_module(0x300000, 0x300000, "empty, elsewhere");
    put_module(0, 0xffffffff, "all");
    put_module(0x300001, 0x300000, "upside down");
    put_module(1, 2, "never reached");
    put_end();
    expect_modules(3, MULTIBOOT2_BAD_TAG);
}

/* A string is taken as it is, whatever characters it has, up to its zero. */
static void test_strange_characters(void **state)
{
    static const char strange[] = "\x01 \x7f\x80\xff\n";
    struct contents all;

    (void)state;
    begin_block();
    put_string(COMMAND_LINE, strange);
    put_module(1, 2, strange);
    open_block();
    read_all(&all);
    assert_string_equal(all.command_line, strange);
    assert_string_equal(all.modules[0].command_line, strange);
}

/* A command line that no zero ends is cut by its tag; a long one by the room there is. */
static void test_unterminated_strings(void **state)
{
    (void)state;
    for (uint32_t length = 0; length < 300; length++) {
        struct contents all;
        uint32_t kept = length < 127 ? length : 127;
        char text[64];

        begin_block();
        begin_tag(MODULE);
        put(1, 4);
        put(2, 4);
        for (uint32_t i = 0; i < length; i++)
            put('m', 1);
        end_tag();
        begin_tag(COMMAND_LINE);
        for (uint32_t i = 0; i < length; i++)
            put('c', 1);
        end_tag();
        open_block();
        read_all(&all);
        assert_int_equal(all.module_count, 1);
        assert_int_equal(strlen(all.modules[0].command_line), kept);
        assert_int_equal(strspn(all.modules[0].command_line, "m"), kept);

        for (uint32_t size = 1; size <= sizeof(text); size++) {
            memset(text, '#', sizeof(text));
            multiboot2_command_line(&mb, text, size);
            assert_int_equal(strlen(text), length < size - 1 ? length : size - 1);
            assert_true(size == sizeof(text) || text[size] == '#');
        }
    }
}

/* ---- Every truncation, and random damage ---- */

/* Cut anywhere, at any alignment, a good block gives a part of what it gave: never something else.
 */
static void test_truncation(void **state)
{
    struct contents full, part;

    (void)state;
    put_good_block();
    uint32_t whole = block.size;
    open_block();
    read_all(&full);
    for (uint32_t size = 0; size < 8 * whole; size++) {
        uint32_t available = size / 8, shift = size % 8;

        set32(0, whole);
        assert_int_equal(open_copy(available, shift), MULTIBOOT2_BAD_SIZE);
        set32(0, available);
        if (open_copy(available, shift) != MULTIBOOT2_ITEM) {
            assert_in_range(available, 0, 7);
            continue;
        }
        read_all(&part);
        assert_in_range(part.region_count, 0, full.region_count);
        assert_in_range(part.module_count, 0, full.module_count);
        assert_memory_equal(part.regions, full.regions,
                            part.region_count * sizeof(full.regions[0]));
        for (uint32_t i = 0; i < part.module_count; i++) {
            assert_int_equal(part.modules[i].start, full.modules[i].start);
            assert_int_equal(part.modules[i].end, full.modules[i].end);
            assert_string_equal(part.modules[i].command_line, full.modules[i].command_line);
        }
    }
}

/* Damages the block: a bit, a byte, or a number that is likely to hurt; mostly in the heads. */
static void damage(struct prng *prng)
{
    static const uint32_t numbers[] = { 0,  1,  3,          6,          7,          8,         9,
                                        16, 24, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff };
    uint32_t offset = prng_below(prng, block.size - 3);

    switch (prng_below(prng, 4)) {
    case 0:
        block.bytes[offset] ^= (uint8_t)(1u << prng_below(prng, 8));
        break;
    case 1:
        block.bytes[offset] = (uint8_t)prng_next(prng);
        break;
    case 2:
        set32(offset & ~3u, numbers[prng_below(prng, ARRAY_SIZE(numbers))]);
        break;
    default:
        set32(offset & ~7u, numbers[prng_below(prng, ARRAY_SIZE(numbers))] & 15);
        set32((offset & ~7u) + 4, prng_below(prng, block.size));
    }
}

/* Whatever the bytes say, reading ends, stays inside, and gives well-formed answers (read_all). */
static void test_random_damage(void **state)
{
    static uint8_t good[sizeof(block.bytes)];
    struct prng prng = { 1 };
    struct contents all;
    uint32_t seen[MULTIBOOT2_BAD_ENTRY_SIZE + 1] = { 0 };

    (void)state;
    put_good_block();
    memcpy(good, block.bytes, sizeof(good));
    for (uint32_t round = 0; round < test_rounds(500000); round++) {
        memcpy(block.bytes, good, block.size);
        for (uint32_t i = prng_below(&prng, 4); i < 4; i++)
            damage(&prng);
        if (!prng_once_in(&prng, 16))
            set32(0, block.size - prng_below(&prng, 9));
        open_copy(block.size, prng_below(&prng, 8));
        read_all(&all);
        seen[all.regions_end]++;
    }
    assert_true(seen[MULTIBOOT2_END] > test_rounds(1000));
    assert_true(seen[MULTIBOOT2_BAD_TAG] > test_rounds(1000));
    assert_true(seen[MULTIBOOT2_BAD_ENTRY_SIZE] > test_rounds(1000));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_block),
        cmocka_unit_test(test_empty_block),
        cmocka_unit_test(test_end_tag),
        cmocka_unit_test(test_no_end_tag),
        cmocka_unit_test(test_status_texts),
        cmocka_unit_test(test_block_size),
        cmocka_unit_test(test_tag_size),
        cmocka_unit_test(test_ask_again),
        cmocka_unit_test(test_walk_of_another_block),
        cmocka_unit_test(test_short_tags),
        cmocka_unit_test(test_short_framebuffers),
        cmocka_unit_test(test_broken_single_tags),
        cmocka_unit_test(test_entry_size),
        cmocka_unit_test(test_cut_entry),
        cmocka_unit_test(test_several_maps),
        cmocka_unit_test(test_module_borders),
        cmocka_unit_test(test_strange_characters),
        cmocka_unit_test(test_unterminated_strings),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_framebuffer_ranges),
        cmocka_unit_test(test_palettes),
        cmocka_unit_test(test_rsdp_sizes),
        cmocka_unit_test(test_firmware),
    };

    return cmocka_run_group_tests(tests, parser_setup, parser_teardown);
}
