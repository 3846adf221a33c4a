/*
 * ACPI's tables: what firmware writes, and what none should.
 *
 * Everything is read from heap buffers of exactly the size that is claimed, at every alignment: a
 * byte read beyond the end is seen by AddressSanitizer.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <drivers/acpi_tables.h>
#include "support.h"

/* ---- Writing tables ---- */

static struct {
    uint8_t bytes[4096];
    uint32_t size;
} table;

static void set(uint32_t offset, uint64_t value, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++, value >>= 8)
        table.bytes[offset + i] = (uint8_t)value;
}

static void put(uint64_t value, uint32_t size)
{
    set(table.size, value, size);
    table.size += size;
}

static void put_bytes(const void *bytes, uint32_t size)
{
    memcpy(table.bytes + table.size, bytes, size);
    table.size += size;
}

/* Makes the first `size` bytes add up to 0 by the one at `at`. */
static void fix_sum(uint32_t at, uint32_t size)
{
    uint8_t sum = 0;

    table.bytes[at] = 0;
    for (uint32_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + table.bytes[i]);
    table.bytes[at] = (uint8_t)-sum;
}

static void begin_table(uint32_t signature, uint8_t revision)
{
    memset(&table, 0, sizeof(table));
    put(signature, 4);
    put(0, 4);
    put(revision, 1);
    put(0, 1);
    put_bytes("RONIN TESTTABLE", 14);
    put(1, 4);
    put(0x4c49544e, 4);
    put(1, 4);
    assert_int_equal(table.size, ACPI_HEADER_SIZE);
}

static void end_table(void)
{
    set(4, table.size, 4);
    fix_sum(9, table.size);
}

#define RSDT_AT 0x07fe1234u
#define XSDT_AT 0x1234567890ull

/* A root pointer of 20 or 36 bytes. */
static void put_rsdp(uint8_t revision, uint32_t size)
{
    memset(&table, 0, sizeof(table));
    put_bytes("RSD PTR ", 8);
    put(0, 1);
    put_bytes("RONIN ", 6);
    put(revision, 1);
    put(RSDT_AT, 4);
    if (size > 20) {
        put(size, 4);
        put(XSDT_AT, 8);
        put(0, 4);
    }
    fix_sum(8, 20);
    if (size > 20)
        fix_sum(32, size);
}

static void put_register(uint32_t offset, uint8_t space, uint64_t address)
{
    set(offset, space, 1);
    set(offset + 1, 8, 1);
    set(offset + 4, address, 8);
}

/* A FADT of any size from the header on, with everything in it that has room. */
static void put_fadt(uint32_t size, uint32_t flags)
{
    begin_table(ACPI_FADT, size < 244 ? 1 : 5);
    set(40, 0x07fe0040, 4);
    set(48, 0xb2, 4);
    set(52, 0xa0, 1);
    set(64, 0x604, 4);
    set(68, 0x704, 4);
    set(76, 0x608, 4);
    set(91, 4, 1);
    set(112, flags, 4);
    put_register(116, ACPI_SPACE_IO, 0xcf9);
    set(128, 0x06, 1);
    set(140, 0x1122334455, 8);
    put_register(172, ACPI_SPACE_IO, 0x1804);
    put_register(184, ACPI_SPACE_IO, 0);
    put_register(208, ACPI_SPACE_IO, 0x1808);
    table.size = size;
    end_table();
}

/* A MADT up to its entries. */
static void begin_madt(uint32_t lapic, uint32_t flags)
{
    begin_table(ACPI_MADT, 3);
    put(lapic, 4);
    put(flags, 4);
}

static void put_ioapic(uint8_t id, uint32_t address, uint32_t first_input)
{
    put_bytes("\x01\x0c", 2);
    put(id, 2);
    put(address, 4);
    put(first_input, 4);
}

static void put_override(uint8_t bus, uint8_t line, uint32_t input, uint16_t flags)
{
    put_bytes("\x02\x0a", 2);
    put(bus, 1);
    put(line, 1);
    put(input, 4);
    put(flags, 2);
}

static void put_lapic_address(uint64_t address)
{
    put_bytes("\x05\x0c", 2);
    put(0, 2);
    put(address, 8);
}

static void put_hpet(uint8_t space, uint64_t address)
{
    begin_table(ACPI_HPET, 1);
    put(0x8086a201, 4);
    put(space, 1);
    put(64, 1);
    put(0, 2);
    put(address, 8);
    put_bytes("\0\x80\0\0", 4);
    end_table();
}

/* A table of this AML, with bytes before and behind it that mean nothing. */
static void put_aml(const void *aml, uint32_t size, uint32_t behind)
{
    begin_table(ACPI_DSDT, 2);
    put_bytes("\x10\x4e\x5c_SB_", 7);
    put_bytes(aml, size);
    for (uint32_t i = 0; i < behind; i++)
        put(0xa3, 1); /* Noop */
    end_table();
}

/* ---- Reading them ---- */

/* The first `size` bytes, `shift` bytes into a buffer that ends where they end. */
static struct acpi_buffer copy_of(uint32_t size, uint32_t shift)
{
    return (struct acpi_buffer){ exact_copy(table.bytes, size, shift), size };
}

static enum acpi_status check(uint32_t signature)
{
    struct acpi_buffer buffer = copy_of(table.size, 0);
    return acpi_check_table(&buffer, signature);
}

/* ---- Root pointers ---- */

static void test_rsdp(void **state)
{
    static const struct {
        uint8_t revision;
        uint32_t size;
        bool has_xsdt;
    } cases[] = { { 0, 20, false }, { 0, 36, false }, { 1, 36, false },
                  { 2, 36, true },  { 4, 36, true },  { 2, 20, false } };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        put_rsdp(cases[i].revision, cases[i].size);
        for (uint32_t shift = 0; shift < 16; shift++) {
            struct acpi_buffer buffer = copy_of(table.size, shift);
            struct acpi_rsdp rsdp;

            assert_int_equal(acpi_read_rsdp(&buffer, &rsdp), ACPI_OK);
            assert_int_equal(rsdp.revision, cases[i].revision);
            assert_int_equal(rsdp.rsdt, RSDT_AT);
            assert_true(rsdp.xsdt == (cases[i].has_xsdt ? XSDT_AT : 0));
        }
    }
}

/* Every byte counts for one of the two checksums, or is the signature. */
static void test_rsdp_every_byte_counts(void **state)
{
    struct acpi_rsdp rsdp;

    (void)state;
    for (uint32_t at = 0; at < 36; at++) {
        put_rsdp(2, 36);
        table.bytes[at] ^= 0x40;
        struct acpi_buffer buffer = copy_of(36, 0);
        enum acpi_status status = acpi_read_rsdp(&buffer, &rsdp);
        if (at < 8)
            assert_int_equal(status, ACPI_NOT_FOUND);
        else if (at >= 20 && at < 24)
            assert_int_equal(status, ACPI_BAD_LENGTH);
        else
            assert_int_equal(status, ACPI_BAD_CHECKSUM);
    }
    put_rsdp(2, 36); /* the first checksum alone */
    table.bytes[8]++;
    fix_sum(32, 36);
    struct acpi_buffer buffer = copy_of(36, 0);
    assert_int_equal(acpi_read_rsdp(&buffer, &rsdp), ACPI_BAD_CHECKSUM);
}

static void test_rsdp_lengths(void **state)
{
    static const uint32_t lengths[] = { 0,  1,  19,         20,         35,         36,
                                        37, 40, 0x7fffffff, 0x80000000, 0xffffffdc, 0xffffffff };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        struct acpi_rsdp rsdp;

        put_rsdp(2, 36);
        table.size = 40;
        set(20, lengths[i], 4);
        fix_sum(32, lengths[i] <= 40 ? lengths[i] : 36);
        struct acpi_buffer buffer = copy_of(40, 0);
        assert_int_equal(acpi_read_rsdp(&buffer, &rsdp),
                         lengths[i] >= 36 && lengths[i] <= 40 ? ACPI_OK : ACPI_BAD_LENGTH);
    }
    put_rsdp(2, 36);
    for (uint32_t size = 0; size < 36; size++) {
        struct acpi_buffer buffer = copy_of(size, size % 8);
        struct acpi_rsdp rsdp;

        assert_int_equal(acpi_read_rsdp(&buffer, &rsdp), size < 8     ? ACPI_NOT_FOUND
                                                         : size == 20 ? ACPI_OK
                                                                      : ACPI_BAD_LENGTH);
    }
}

/* The search looks at multiples of 16, passes by what is broken, and stays inside. */
static void test_rsdp_search(void **state)
{
    (void)state;
    for (uint32_t at = 0; at < 1024; at++) {
        struct acpi_rsdp rsdp;
        uint8_t good[36];

        put_rsdp(2, 36);
        memcpy(good, table.bytes, sizeof(good));
        memset(table.bytes, 0x5a, 1024 + 36);
        for (uint32_t decoy = 0; decoy + 36 <= at; decoy += 64) {
            memcpy(table.bytes + decoy, good, sizeof(good));
            table.bytes[decoy + 10] ^= 1;
        }
        memcpy(table.bytes + at, good, sizeof(good));

        struct acpi_buffer buffer = copy_of(at + 36, 0);
        assert_int_equal(acpi_find_rsdp(&buffer, &rsdp), at % 16 == 0);
        if (at % 16 == 0)
            assert_int_equal(rsdp.rsdt, RSDT_AT);
        buffer = copy_of(at + 35, 0);
        assert_false(acpi_find_rsdp(&buffer, &rsdp));
    }
    struct acpi_buffer nothing = copy_of(0, 0);
    struct acpi_rsdp rsdp;
    assert_false(acpi_find_rsdp(&nothing, &rsdp));
}

/* ---- Headers ---- */

static void test_table_check(void **state)
{
    (void)state;
    begin_table(ACPI_SSDT, 2);
    end_table();
    assert_int_equal(check(ACPI_SSDT), ACPI_OK);
    assert_int_equal(check(ACPI_DSDT), ACPI_NOT_FOUND);
    for (uint32_t at = 8; at < ACPI_HEADER_SIZE; at++) {
        table.bytes[at] ^= 0x10;
        assert_int_equal(check(ACPI_SSDT), ACPI_BAD_CHECKSUM);
        table.bytes[at] ^= 0x10;
    }

    /* What lies behind the table's end is cut off, and does not count for its sum. */
    put(0x1122334455667788, 8);
    struct acpi_buffer buffer = copy_of(table.size, 3);
    assert_int_equal(acpi_check_table(&buffer, ACPI_SSDT), ACPI_OK);
    assert_int_equal(buffer.size, ACPI_HEADER_SIZE);
}

static void test_table_lengths(void **state)
{
    static const uint32_t wrong[] = {
        0,          1,          8,          35, 41, 100, ACPI_TABLE_MAX, ACPI_TABLE_MAX + 1,
        0x7fffffff, 0x80000000, 0xffffffff,
    };

    (void)state;
    begin_table(ACPI_SSDT, 2);
    put(0, 4);
    end_table();
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct acpi_buffer buffer;
        struct acpi_header header;
        bool possible = wrong[i] >= ACPI_HEADER_SIZE && wrong[i] <= ACPI_TABLE_MAX;

        set(4, wrong[i], 4);
        assert_int_equal(check(ACPI_SSDT), ACPI_BAD_LENGTH);
        buffer = copy_of(ACPI_HEADER_SIZE, 0);
        assert_int_equal(acpi_read_header(&buffer, &header), possible ? ACPI_OK : ACPI_BAD_LENGTH);
        assert_int_equal(header.length, wrong[i]);
    }
    end_table();
    for (uint32_t size = 0; size < table.size; size++) {
        struct acpi_buffer buffer = copy_of(size, 0);
        assert_int_equal(acpi_check_table(&buffer, ACPI_SSDT), ACPI_BAD_LENGTH);
    }
}

/* Entries of 4 or 8 bytes; a part of one at the end is none. */
static void test_root_entries(void **state)
{
    (void)state;
    for (uint32_t entry = 4; entry <= 8; entry += 4) {
        for (uint32_t bytes = 0; bytes <= 40; bytes++) {
            uint64_t address;

            begin_table(entry == 8 ? ACPI_XSDT : ACPI_RSDT, 1);
            for (uint32_t i = 0; i < bytes; i++)
                put(0x10 + i, 1);
            end_table();
            struct acpi_buffer root = copy_of(table.size, 0);
            assert_int_equal(acpi_check_table(&root, entry == 8 ? ACPI_XSDT : ACPI_RSDT), ACPI_OK);
            for (uint32_t i = 0; i < 12; i++) {
                assert_int_equal(acpi_root_entry(&root, i, &address), (i + 1) * entry <= bytes);
                uint64_t wanted = 0;
                for (uint32_t j = entry; (i + 1) * entry <= bytes && j-- > 0;)
                    wanted = wanted << 8 | (0x10 + i * entry + j);
                assert_true(address == wanted);
            }
            assert_false(acpi_root_entry(&root, 0x1fffffff, &address));
            assert_false(acpi_root_entry(&root, 0x40000000, &address)); /* times 4: 0 */
            assert_false(acpi_root_entry(&root, 0xffffffff, &address));
        }
    }
}

/* ---- FADT ---- */

#define RESET   (1u << 10)
#define REDUCED (1u << 20)

static struct acpi_fadt read_fadt(void)
{
    struct acpi_buffer buffer = copy_of(table.size, 0);
    struct acpi_fadt fadt;

    assert_int_equal(acpi_check_table(&buffer, ACPI_FADT), ACPI_OK);
    assert_int_equal(acpi_read_fadt(&buffer, &fadt), ACPI_OK);
    return fadt;
}

/* Of any length: what the table ends before is missing, and nothing else. */
static void test_fadt(void **state)
{
    (void)state;
    for (uint32_t size = ACPI_HEADER_SIZE; size <= 276; size++) {
        struct acpi_fadt fadt;

        put_fadt(size, RESET);
        if (size < 116) {
            struct acpi_buffer buffer = copy_of(size, 0);
            assert_int_equal(acpi_read_fadt(&buffer, &fadt), ACPI_BAD_LENGTH);
            continue;
        }
        fadt = read_fadt();
        assert_int_equal(fadt.revision, size < 244 ? 1 : 5);
        assert_false(fadt.hardware_reduced);
        assert_int_equal(fadt.dsdt, 0x07fe0040);
        assert_true(fadt.x_dsdt == (size < 148 ? 0 : 0x1122334455));
        assert_int_equal(fadt.smi_command, 0xb2);
        assert_int_equal(fadt.acpi_enable, 0xa0);
        assert_int_equal(fadt.pm1a_control, size < 184 ? 0x604 : 0x1804);
        assert_int_equal(fadt.pm1b_control, 0x704); /* its new field is 0 */
        assert_int_equal(fadt.has_reset, size >= 129);
        assert_int_equal(fadt.pm_timer, size < 220 ? 0x608 : 0x1808);
        assert_false(fadt.pm_timer_32_bits);
        if (fadt.has_reset) {
            assert_int_equal(fadt.reset.space, ACPI_SPACE_IO);
            assert_true(fadt.reset.address == 0xcf9);
            assert_int_equal(fadt.reset_value, 6);
        }
    }
}

static void test_fadt_flags(void **state)
{
    (void)state;
    put_fadt(276, 0);
    assert_false(read_fadt().has_reset);
    put_fadt(276, REDUCED);
    assert_true(read_fadt().hardware_reduced);
    assert_false(read_fadt().has_reset);
    put_fadt(276, RESET);
    put_register(116, ACPI_SPACE_MEMORY, 0);
    end_table();
    assert_false(read_fadt().has_reset);
    put_register(116, ACPI_SPACE_MEMORY, 0xfed0000012345678);
    end_table();
    assert_true(read_fadt().has_reset);
    assert_true(read_fadt().reset.address == 0xfed0000012345678);
    assert_int_equal(read_fadt().reset.space, ACPI_SPACE_MEMORY);
}

/* A 64-bit field that names no port does not count; nor does an old one beyond the ports. */
static void test_fadt_ports(void **state)
{
    static const struct {
        uint8_t space;
        uint64_t address;
        uint32_t old;
        uint16_t wanted;
    } cases[] = {
        { ACPI_SPACE_IO, 0x1804, 0x604, 0x1804 },
        { ACPI_SPACE_IO, 0x1804, 0, 0x1804 },
        { ACPI_SPACE_IO, 0xfffe, 0x604, 0xfffe },
        { ACPI_SPACE_IO, 0xffff, 0x604, 0x604 }, /* 16 bits do not fit */
        { ACPI_SPACE_IO, 0x10000, 0x604, 0x604 },
        { ACPI_SPACE_IO, 0x100000604, 0x704, 0x704 },
        { ACPI_SPACE_IO, 0, 0x604, 0x604 },
        { ACPI_SPACE_MEMORY, 0x1804, 0x604, 0x604 },
        { 0x7f, 0x1804, 0x604, 0x604 },
        { ACPI_SPACE_IO, 0, 0x10604, 0 },
        { ACPI_SPACE_IO, 0, 0xffffffff, 0 },
        { ACPI_SPACE_IO, 0, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        put_fadt(276, 0);
        for (uint32_t b = 0; b < 2; b++) {
            set(64 + 4 * b, cases[i].old, 4);
            put_register(172 + 12 * b, cases[i].space, cases[i].address);
        }
        end_table();
        assert_int_equal(read_fadt().pm1a_control, cases[i].wanted);
        assert_int_equal(read_fadt().pm1b_control, cases[i].wanted);
    }
    put_fadt(276, 0);
    set(48, 0x100b2, 4);
    end_table();
    assert_int_equal(read_fadt().smi_command, 0);
}

#define TIMER_32 (1u << 8)

/* There is one where its length says so, the hardware has one, and four ports follow its number. */
static void test_fadt_pm_timer(void **state)
{
    static const struct {
        uint32_t flags;
        uint8_t length, space;
        uint64_t address;
        uint32_t old;
        uint16_t wanted;
    } cases[] = {
        { 0, 4, ACPI_SPACE_IO, 0x1808, 0x608, 0x1808 },
        { TIMER_32, 4, ACPI_SPACE_IO, 0x1808, 0x608, 0x1808 },
        { 0, 4, ACPI_SPACE_IO, 0, 0x608, 0x608 },
        { 0, 4, ACPI_SPACE_MEMORY, 0xfed00000, 0x608, 0x608 },
        { 0, 4, ACPI_SPACE_IO, 0xfffc, 0, 0xfffc },
        { 0, 4, ACPI_SPACE_IO, 0xfffd, 0, 0 },
        { 0, 4, ACPI_SPACE_IO, 0, 0x10608, 0 },
        { 0, 4, ACPI_SPACE_IO, 0, 0, 0 },
        { 0, 0, ACPI_SPACE_IO, 0x1808, 0x608, 0 },
        { 0, 3, ACPI_SPACE_IO, 0x1808, 0x608, 0 },
        { REDUCED, 4, ACPI_SPACE_IO, 0x1808, 0x608, 0 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        put_fadt(276, cases[i].flags);
        set(76, cases[i].old, 4);
        set(91, cases[i].length, 1);
        put_register(208, cases[i].space, cases[i].address);
        end_table();
        assert_int_equal(read_fadt().pm_timer, cases[i].wanted);
        if (cases[i].wanted != 0)
            assert_int_equal(read_fadt().pm_timer_32_bits, cases[i].flags == TIMER_32);
    }
}

/* ---- MADT ---- */

static struct acpi_madt read_madt(void)
{
    struct acpi_buffer buffer = copy_of(table.size, 0);
    struct acpi_madt madt;

    assert_int_equal(acpi_check_table(&buffer, ACPI_MADT), ACPI_OK);
    assert_int_equal(acpi_read_madt(&buffer, &madt), ACPI_OK);
    return madt;
}

static void expect_line(const struct acpi_madt *madt, uint32_t line, uint32_t input, bool level,
                        bool active_low)
{
    assert_int_equal(madt->isa[line].input, input);
    assert_int_equal(madt->isa[line].level, level);
    assert_int_equal(madt->isa[line].active_low, active_low);
}

/* As QEMU writes it: the timer at input 2, level lines for PCI; a processor and an NMI between. */
static void test_madt(void **state)
{
    (void)state;
    begin_madt(0xfee00000, 1);
    put_bytes("\x00\x08\x00\x00\x01\x00\x00\x00", 8);
    put_ioapic(0, 0xfec00000, 0);
    put_override(0, 0, 2, 0);
    put_override(0, 9, 9, 0xd);
    put_bytes("\x04\x06\xff\x00\x00\x01", 6);
    put_override(0, 11, 11, 0xf);
    end_table();

    struct acpi_madt madt = read_madt();
    assert_true(madt.lapic_address == 0xfee00000);
    assert_true(madt.has_pic);
    assert_int_equal(madt.ioapic_count, 1);
    assert_int_equal(madt.ioapics[0].address, 0xfec00000);
    assert_int_equal(madt.ioapics[0].first_input, 0);
    expect_line(&madt, 0, 2, false, false);
    expect_line(&madt, 9, 9, true, false);
    expect_line(&madt, 11, 11, true, true);
    for (uint32_t line = 1; line < 9; line++)
        expect_line(&madt, line, line, false, false);
}

static void test_madt_addresses(void **state)
{
    (void)state;
    begin_madt(0xfee00000, 0);
    put_lapic_address(0x12fee01000);
    for (uint32_t i = 0; i < ACPI_IOAPICS_MAX + 3; i++)
        put_ioapic((uint8_t)i, 0xfec00000 + 0x1000 * i, 24 * i);
    end_table();

    struct acpi_madt madt = read_madt();
    assert_true(madt.lapic_address == 0x12fee01000);
    assert_false(madt.has_pic);
    assert_int_equal(madt.ioapic_count, ACPI_IOAPICS_MAX);
    for (uint32_t i = 0; i < ACPI_IOAPICS_MAX; i++) {
        assert_int_equal(madt.ioapics[i].address, 0xfec00000 + 0x1000 * i);
        assert_int_equal(madt.ioapics[i].first_input, 24 * i);
    }
}

/* Every combination of polarity and trigger; only 3 is active low, only 3 is level. */
static void test_madt_override_flags(void **state)
{
    (void)state;
    for (uint32_t flags = 0; flags < 16; flags++) {
        begin_madt(0, 0);
        put_override(0, 5, 20, (uint16_t)(flags | 0xfff0));
        end_table();
        struct acpi_madt madt = read_madt();
        expect_line(&madt, 5, 20, flags >> 2 == 3, (flags & 3) == 3);
    }
}

/* Overrides of other buses or of lines that do not exist, entries that are cut or never end. */
static void test_madt_nonsense(void **state)
{
    static const char *const ends[] = { "\x02\x00", "\x02\x01", "\x02\xff", "\x02\x0b", "\x02" };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        begin_madt(0xfee00000, 1);
        put_override(1, 3, 19, 0xf);
        put_override(0, 16, 20, 0xf);
        put_override(0, 255, 20, 0xf);
        put_bytes("\x02\x04\x00\x03", 4); /* too short for what they are */
        put_bytes("\x01\x08\x00\x00\xff\xff\xff\xff", 8);
        put_bytes("\x05\x06\x00\x00\xff\xff", 6);
        put_bytes("\x02\x02", 2);
        put_override(0, 7, 21, 0xf);
        put_bytes(ends[i], i == 4 ? 1 : 2);
        if (i < 4)
            put_bytes("\x00\x07\x16\x00\x00\x00\x0f\x00", 8);
        end_table();

        struct acpi_madt madt = read_madt();
        assert_int_equal(madt.ioapic_count, 0);
        assert_true(madt.lapic_address == 0xfee00000);
        for (uint32_t line = 0; line < ACPI_ISA_LINES; line++) {
            if (line != 7)
                expect_line(&madt, line, line, false, false);
        }
        expect_line(&madt, 7, 21, true, true);
    }
}

static void test_madt_truncation(void **state)
{
    (void)state;
    begin_madt(0xfee00000, 1);
    put_ioapic(0, 0xfec00000, 0);
    put_override(0, 0, 2, 0);
    put_lapic_address(0xfee02000);
    for (uint32_t size = 0; size <= table.size; size++) {
        struct acpi_buffer buffer = copy_of(size, size % 8);
        struct acpi_madt madt;

        assert_int_equal(acpi_read_madt(&buffer, &madt), size < 44 ? ACPI_BAD_LENGTH : ACPI_OK);
        assert_int_equal(madt.ioapic_count, size >= 56);
        assert_int_equal(madt.isa[0].input, size >= 66 ? 2 : 0);
        assert_true(madt.lapic_address == (size < 44 ? 0 : size >= 78 ? 0xfee02000 : 0xfee00000));
    }
}

/* ---- HPET ---- */

static void test_hpet(void **state)
{
    uint64_t address;

    (void)state;
    put_hpet(ACPI_SPACE_IO, 0x1000);
    struct acpi_buffer buffer = copy_of(table.size, 0);
    assert_int_equal(acpi_read_hpet(&buffer, &address), ACPI_OK);
    assert_true(address == 0);

    put_hpet(ACPI_SPACE_MEMORY, 0x1fed00000);
    for (uint32_t size = 0; size <= table.size; size++) {
        buffer = copy_of(size, size % 8);
        assert_int_equal(acpi_read_hpet(&buffer, &address), size < 52 ? ACPI_BAD_LENGTH : ACPI_OK);
        assert_true(address == (size < 52 ? 0 : 0x1fed00000));
    }
}

/* ---- S5 ---- */

#define AML(text)                                                                                  \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

struct aml {
    const char *bytes;
    uint32_t size;
};

static bool find(struct acpi_s5 *s5)
{
    struct acpi_buffer buffer = copy_of(table.size, 0);

    assert_int_equal(acpi_check_table(&buffer, ACPI_DSDT), ACPI_OK);
    return acpi_find_s5(&buffer, s5);
}

static void test_s5(void **state)
{
    static const struct {
        struct aml aml;
        uint8_t a, b;
    } cases[] = {
        /* as QEMU, SeaBIOS, Intel's, AMD's and old firmware write it */
        { AML("\x08_S5_\x12\x06\x04\x00\x00\x00\x00"), 0, 0 },
        { AML("\x08_S5_\x12\x07\x04\x01\x0a\x05\x00\x00"), 1, 5 },
        { AML("\x08_S5_\x12\x0a\x04\x0a\x05\x0a\x06\x0a\x00\x0a\x00"), 5, 6 },
        { AML("\x08_S5_\x12\x07\x04\x0a\x07\x00\x00\x00"), 7, 0 },
        { AML("\x08\\_S5_\x12\x08\x04\x0a\x07\x0a\x07\x00\x00"), 7, 7 },
        /* every size of a number */
        { AML("\x08_S5_\x12\x06\x02\x0b\x03\x00\x01"), 3, 1 },
        { AML("\x08_S5_\x12\x0c\x02\x0c\x04\x00\x00\x00\x0c\x02\x00\x00\x00"), 4, 2 },
        /* only two, or one that holds both */
        { AML("\x08_S5_\x12\x05\x02\x0a\x05\x01"), 5, 1 },
        { AML("\x08_S5_\x12\x04\x01\x0a\x05"), 5, 0 },
        { AML("\x08_S5_\x12\x05\x01\x0b\x05\x06"), 5, 6 },
        { AML("\x08_S5_\x12\x07\x01\x0c\x02\x03\x00\x00"), 2, 3 },
        /* a package's length in 2, 3 and 4 bytes */
        { AML("\x08_S5_\x12\x48\x00\x04\x0a\x05\x01\x00\x00"), 5, 1 },
        { AML("\x08_S5_\x12\x89\x00\x00\x04\x0a\x05\x01\x00\x00"), 5, 1 },
        { AML("\x08_S5_\x12\xca\x00\x00\x00\x04\x0a\x05\x01\x00\x00"), 5, 1 },
        /* what is not a definition, or not of numbers, is passed by */
        { AML("_S5_\x08_S5_\x12\x04\x02\x01\x00"), 1, 0 },
        { AML("\x08_S5_\x11\x04\x02\x01\x00\x08_S5_\x12\x05\x02\x0a\x03\x01"), 3, 1 },
        { AML("\x08_S5_\x12\x07\x02_S4_\x01\x08\\_S5_\x12\x05\x02\x0a\x03\x01"), 3, 1 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (uint32_t behind = 0; behind < 3; behind++) {
            struct acpi_s5 s5;

            put_aml(cases[i].aml.bytes, cases[i].aml.size, behind);
            assert_true(find(&s5));
            assert_int_equal(s5.type_a, cases[i].a);
            assert_int_equal(s5.type_b, cases[i].b);
        }
    }
}

static void test_no_s5(void **state)
{
    static const struct aml cases[] = {
        AML(""),
        AML("\x08_S5_"),
        AML("\x08_S4_\x12\x06\x04\x00\x00\x00\x00"),
        AML("\x14_S5_\x12\x06\x04\x00\x00\x00\x00"), /* no NameOp */
        AML("\x14\\_S5_\x12\x06\x04\x00\x00\x00\x00"),
        AML("\x08__S5_\x12\x06\x04\x00\x00\x00\x00"),
        AML("\x08_S5_\x13\x06\x04\x00\x00\x00\x00"), /* no package */
        AML("\x08_S5_\x12\x02\x00\x00\x00"),         /* of nothing */
        AML("\x08_S5_\x12\x00\x04\x00\x00\x00\x00"), /* shorter than its length */
        AML("\x08_S5_\x12\x01\x04\x00\x00\x00\x00"),
        AML("\x08_S5_\x12\x02\x04\x00\x00\x00\x00"), /* ends before its numbers */
        AML("\x08_S5_\x12\x03\x04\x00\x00\x00\x00"),
        AML("\x08_S5_\x12\x04\x04\x00\x0a\x01\x00\x00"), /* ends inside a number */
        AML("\x08_S5_\x12\x3f\x04\x00\x00\x00\x00"),     /* runs past the table */
        AML("\x08_S5_\x12\xcf\xff\xff\xff\x04\x00\x00\x00"),
        AML("\x08_S5_\x12\x06\x04\x0a\x08\x00\x00"), /* not a sleep type */
        AML("\x08_S5_\x12\x06\x04\xff\xff\x00\x00"),
        AML("\x08_S5_\x12\x0a\x04\x0c\x05\x00\x00\x01\x00\x00\x00"),
        AML("\x08_S5_\x12\x05\x01\x0b\x05\x08"),
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct acpi_s5 s5;

        put_aml(cases[i].bytes, cases[i].size, 0);
        assert_false(find(&s5));
    }
}

/* The name at the very beginning of a table, where nothing of the table defines it. */
static void test_s5_borders(void **state)
{
    struct acpi_s5 s5;

    (void)state;
    begin_table(ACPI_DSDT, 1);
    put_bytes("_S5_\x12\x06\x04\x00\x00\x00\x00", 11);
    end_table();
    assert_false(find(&s5));
    for (uint32_t size = 0; size <= table.size; size++) {
        struct acpi_buffer buffer = copy_of(size, size % 4);
        assert_false(acpi_find_s5(&buffer, &s5));
    }
}

/* A package cut anywhere is none. */
static void test_s5_truncation(void **state)
{
    static const char aml[] =
        "\x08\\_S5_\x12\x4e\x00\x04\x0c\x05\x00\x00\x00\x0b\x06\x00\x0a\x00\x00";

    (void)state;
    put_aml(aml, sizeof(aml) - 1, 0);
    for (uint32_t size = 0; size <= table.size; size++) {
        for (uint32_t shift = 0; shift < 8; shift++) {
            struct acpi_buffer buffer = copy_of(size, shift);
            struct acpi_s5 s5;

            assert_int_equal(acpi_find_s5(&buffer, &s5), size == table.size);
        }
    }
}

/* ---- Hostile bytes ---- */

/* Reads everything out of a buffer, whatever it is, and checks what is promised. */
static uint32_t read_all(uint32_t size, uint32_t shift)
{
    struct acpi_buffer buffer = copy_of(size, shift);
    uint32_t signature = size >= 4
                             ? (uint32_t)buffer.bytes[0] | (uint32_t)buffer.bytes[1] << 8 |
                                   (uint32_t)buffer.bytes[2] << 16 | (uint32_t)buffer.bytes[3] << 24
                             : 0;
    struct acpi_buffer whole = buffer;
    struct acpi_rsdp rsdp;
    struct acpi_fadt fadt;
    struct acpi_madt madt;
    struct acpi_s5 s5;
    uint64_t address;
    uint32_t seen = 0;

    if (acpi_check_table(&buffer, signature) == ACPI_OK)
        seen |= 1;
    assert_in_range(buffer.size, 0, size);
    for (const struct acpi_buffer *b = &buffer; b != NULL; b = b == &buffer ? &whole : NULL) {
        if (acpi_find_rsdp(b, &rsdp))
            seen |= 2;
        for (uint32_t i = 0; acpi_root_entry(b, i, &address); i++)
            assert_in_range(i, 0, size / 4);
        if (acpi_read_fadt(b, &fadt) == ACPI_OK) {
            seen |= 4;
            assert_true(!fadt.has_reset || fadt.reset.address != 0);
            assert_true(fadt.pm1a_control < 0xffff && fadt.pm1b_control < 0xffff);
            assert_true(fadt.pm_timer < 0xfffd);
        }
        acpi_read_hpet(b, &address);
        if (acpi_read_madt(b, &madt) == ACPI_OK && madt.ioapic_count > 0) {
            seen |= 16;
            assert_in_range(madt.ioapic_count, 1, ACPI_IOAPICS_MAX);
        }
        if (acpi_find_s5(b, &s5)) {
            seen |= 8;
            assert_in_range(s5.type_a, 0, ACPI_SLEEP_TYPE_MAX);
            assert_in_range(s5.type_b, 0, ACPI_SLEEP_TYPE_MAX);
        }
    }
    return seen;
}

#define KINDS 6u

static void put_kind(uint32_t kind)
{
    switch (kind) {
    case 0:
        put_rsdp(2, 36);
        break;
    case 1:
        put_fadt(276, RESET);
        break;
    case 2:
        begin_table(ACPI_XSDT, 1);
        put(0x100000000, 8);
        put(0x7fe0000, 8);
        end_table();
        break;
    case 3:
        begin_madt(0xfee00000, 1);
        put_ioapic(0, 0xfec00000, 0);
        put_override(0, 0, 2, 0);
        put_override(0, 9, 9, 0xd);
        put_ioapic(1, 0xfec01000, 24);
        put_lapic_address(0xfee00000);
        end_table();
        break;
    case 4:
        put_hpet(ACPI_SPACE_MEMORY, 0xfed00000);
        break;
    default:
        put_aml("\x08_S5_\x12\x0a\x04\x0a\x05\x0a\x06\x0a\x00\x0a\x00"
                "\x08\\_S5_\x12\x4a\x00\x04\x0b\x05\x00\x01\x00\x00\x00",
                33, 3);
    }
}

static void test_truncation(void **state)
{
    (void)state;
    for (uint32_t kind = 0; kind < KINDS; kind++) {
        put_kind(kind);
        for (uint32_t size = 0; size <= table.size; size++) {
            for (uint32_t shift = 0; shift < 4; shift++) {
                bool sound = read_all(size, shift) & 1;
                assert_true(!sound || size == table.size);
            }
        }
        if (kind > 0)
            assert_true(read_all(table.size, 0) & 1);
    }
}

static void damage(struct prng *prng)
{
    static const uint32_t numbers[] = { 0,      1,      4,          8,          0x12,       0x24,
                                        0xffff, 0x8000, 0x7fffffff, 0x80000000, 0xfffffffc, ~0u };
    uint32_t offset = prng_below(prng, table.size - 3);

    switch (prng_below(prng, 3)) {
    case 0:
        table.bytes[offset] ^= (uint8_t)(1u << prng_below(prng, 8));
        break;
    case 1:
        table.bytes[offset] = (uint8_t)prng_next(prng);
        break;
    default:
        set(offset, numbers[prng_below(prng, ARRAY_SIZE(numbers))], 1u << prng_below(prng, 3));
    }
}

static void test_random_damage(void **state)
{
    struct prng prng = { 1 };
    uint32_t counts[5] = { 0 };

    (void)state;
    for (uint32_t round = 0; round < 400000; round++) {
        uint32_t kind = prng_below(&prng, KINDS);

        put_kind(kind);
        for (uint32_t i = prng_below(&prng, 4); i < 4; i++)
            damage(&prng);
        uint32_t size = table.size;
        if (prng_once_in(&prng, 2))
            size -= prng_below(&prng, size);
        if (kind == 0 && prng_once_in(&prng, 2)) {
            fix_sum(8, 20);
            fix_sum(32, 36);
        } else if (kind != 0 && !prng_once_in(&prng, 4)) {
            set(4, size, 4);
            fix_sum(9, size < 10 ? 10 : size);
        }
        uint32_t seen = read_all(size, prng_below(&prng, 8));
        for (uint32_t i = 0; i < ARRAY_SIZE(counts); i++)
            counts[i] += seen >> i & 1;
    }
    for (uint32_t i = 0; i < ARRAY_SIZE(counts); i++)
        assert_true(counts[i] > 1000); /* the damage leaves something to get through to */
}

/* A status has words, whatever its number. */
static void test_status_texts(void **state)
{
    (void)state;
    for (int status = ACPI_OK; status <= ACPI_BAD_CHECKSUM + 1; status++)
        assert_true(strlen(acpi_status_text((enum acpi_status)status)) > 4);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rsdp),           cmocka_unit_test(test_rsdp_every_byte_counts),
        cmocka_unit_test(test_rsdp_lengths),   cmocka_unit_test(test_rsdp_search),
        cmocka_unit_test(test_table_check),    cmocka_unit_test(test_table_lengths),
        cmocka_unit_test(test_root_entries),   cmocka_unit_test(test_fadt),
        cmocka_unit_test(test_fadt_flags),     cmocka_unit_test(test_fadt_ports),
        cmocka_unit_test(test_fadt_pm_timer),  cmocka_unit_test(test_madt),
        cmocka_unit_test(test_madt_addresses), cmocka_unit_test(test_madt_override_flags),
        cmocka_unit_test(test_madt_nonsense),  cmocka_unit_test(test_madt_truncation),
        cmocka_unit_test(test_hpet),           cmocka_unit_test(test_s5),
        cmocka_unit_test(test_no_s5),          cmocka_unit_test(test_s5_borders),
        cmocka_unit_test(test_s5_truncation),  cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_random_damage),  cmocka_unit_test(test_status_texts),
    };

    return cmocka_run_group_tests(tests, parser_setup, parser_teardown);
}
