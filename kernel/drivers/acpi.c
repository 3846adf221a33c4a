/*
 * ACPI: from the root pointer to a handful of numbers.
 *
 *     RSDP -> XSDT or RSDT -> FADT -> DSDT -> _S5_
 *                          -> SSDTs ---------^
 *                          -> MADT, HPET
 *
 * Tables lie anywhere in the physical address space and are read through windows, first a header,
 * then as much as it says. Once acpi_init() has returned, none of them is looked at again: what it
 * found is in `found`, and the only window left is that of a reset register in memory, because a
 * reset may be asked for by an interrupt handler, which cannot map one.
 *
 * A table that is broken counts as missing. Firmware is not asked to hand over control (ACPI mode)
 * before the machine is switched off: until then nothing here wants its events.
 *
 * Sources: ACPI Specification 6.4, "Finding the RSDP on IA-PC Systems", "PM1 Control Registers",
 * "Waking and Sleeping", "Reset Register".
 */
#include <drivers/acpi.h>
#include <boot_info.h>
#include <drivers/acpi_tables.h>
#include <drivers/pci.h>
#include <drivers/timer.h>
#include <lib/printf.h>
#include <log.h>
#include <mem/window.h>
#include <x86/io.h>

/* Where a BIOS keeps the root pointer. */
#define EBDA_SEGMENT        0x40eu /* a word: the extended BIOS data area's segment */
#define EBDA_LOWEST         0x400u
#define EBDA_END            0xa0000u
#define EBDA_SEARCHED       1024u
#define BIOS_START          0xe0000u
#define BIOS_SIZE           0x20000u

/* More tables than any machine has. */
#define ROOT_ENTRIES_MAX    512u

/* PM1 control. */
#define PM1_SCI_EN          (1u << 0) /* ACPI mode is on */
#define PM1_SLEEP_TYPE(t)   ((uint32_t)(t) << 10)
#define PM1_SLEEP_TYPE_MASK PM1_SLEEP_TYPE(ACPI_SLEEP_TYPE_MAX)
#define PM1_SLEEP_ENABLE    (1u << 13)

#define ACPI_MODE_WAIT_MS   1000u
#define SLEEP_WAIT_MS       500u
#define RESET_WAIT_MS       100u

static struct {
    struct acpi_fadt fadt;
    struct acpi_madt madt;
    bool has_fadt, has_madt;
    paddr64_t hpet; /* 0: none */
    struct acpi_s5 s5;
    const char *no_power_off;    /* why there is none; NULL: there is */
    const char *no_reset;        /* likewise */
    volatile uint8_t *reset_map; /* a reset register in memory */
} found = { .no_power_off = "not looked for", .no_reset = "not looked for" };

/* ---- Tables ---- */

/* Maps a buffer; false, and nothing mapped, where it is out of reach. */
static bool open_buffer(paddr64_t address, uint32_t size, struct acpi_buffer *buffer)
{
    *buffer = (struct acpi_buffer){ map_window(address, size, WINDOW_MEMORY), size };
    return buffer->bytes != NULL;
}

static bool read_header(paddr64_t address, struct acpi_header *header)
{
    struct acpi_buffer buffer;

    if (address == 0 || !open_buffer(address, ACPI_HEADER_SIZE, &buffer))
        return false;
    bool sound = acpi_read_header(&buffer, header) == ACPI_OK;
    unmap_window(buffer.bytes);
    return sound;
}

/* Maps a sound table of that kind; close_table() undoes it. The window begins where it begins. */
static bool open_table(paddr64_t address, uint32_t signature, struct acpi_buffer *table)
{
    struct acpi_header header;

    if (!read_header(address, &header) || header.signature != signature ||
        !open_buffer(address, header.length, table))
        return false;
    if (acpi_check_table(table, signature) == ACPI_OK)
        return true;
    unmap_window(table->bytes);
    return false;
}

static void close_table(const struct acpi_buffer *table)
{
    unmap_window(table->bytes);
}

/*
 * The next sound table of that kind that the root names at or behind entry *index, which moves
 * behind it.
 */
static bool open_next(const struct acpi_buffer *root, uint32_t *index, uint32_t signature,
                      struct acpi_buffer *table)
{
    paddr64_t address;

    while (*index < ROOT_ENTRIES_MAX && acpi_root_entry(root, *index, &address)) {
        *index += 1;
        if (open_table(address, signature, table))
            return true;
    }
    return false;
}

/* ---- The root pointer ---- */

static bool take_rsdp_of_loader(enum multiboot2_rsdp_tag tag, struct acpi_rsdp *rsdp)
{
    struct multiboot2_rsdp copy;

    if (!multiboot2_rsdp(boot_info(), tag, &copy))
        return false;
    struct acpi_buffer buffer = { copy.bytes, copy.size };
    return acpi_read_rsdp(&buffer, rsdp) == ACPI_OK;
}

static bool search_rsdp(paddr_t start, uint32_t size, struct acpi_rsdp *rsdp)
{
    struct acpi_buffer buffer;

    if (!open_buffer(start, size, &buffer))
        return false;
    bool sound = acpi_find_rsdp(&buffer, rsdp);
    unmap_window(buffer.bytes);
    return sound;
}

static bool search_rsdp_in_ebda(struct acpi_rsdp *rsdp)
{
    struct acpi_buffer word; /* in page 0, which has no other mapping */

    if (!open_buffer(EBDA_SEGMENT, 2, &word))
        return false;
    paddr_t start = (paddr_t)(word.bytes[0] | word.bytes[1] << 8) << 4;
    unmap_window(word.bytes);
    return start >= EBDA_LOWEST && start <= EBDA_END - EBDA_SEARCHED &&
           search_rsdp(start, EBDA_SEARCHED, rsdp);
}

static bool find_rsdp(struct acpi_rsdp *rsdp)
{
    return take_rsdp_of_loader(MULTIBOOT2_RSDP_NEW, rsdp) ||
           take_rsdp_of_loader(MULTIBOOT2_RSDP_OLD, rsdp) || search_rsdp_in_ebda(rsdp) ||
           search_rsdp(BIOS_START, BIOS_SIZE, rsdp);
}

/* ---- What is needed of them ---- */

static bool read_fadt(const struct acpi_buffer *root)
{
    struct acpi_buffer table;
    uint32_t index = 0;

    if (!open_next(root, &index, ACPI_FADT, &table))
        return false;
    bool sound = acpi_read_fadt(&table, &found.fadt) == ACPI_OK;
    close_table(&table);
    return sound;
}

static bool read_madt(const struct acpi_buffer *root)
{
    struct acpi_buffer table;
    uint32_t index = 0;

    if (!open_next(root, &index, ACPI_MADT, &table))
        return false;
    bool sound = acpi_read_madt(&table, &found.madt) == ACPI_OK;
    close_table(&table);
    return sound;
}

static void read_hpet(const struct acpi_buffer *root)
{
    struct acpi_buffer table;
    uint32_t index = 0;

    if (!open_next(root, &index, ACPI_HPET, &table))
        return;
    acpi_read_hpet(&table, &found.hpet);
    close_table(&table);
}

static bool find_s5_in(const struct acpi_buffer *table)
{
    bool there = acpi_find_s5(table, &found.s5);

    close_table(table);
    return there;
}

/* In the DSDT, else in the SSDTs. Returns in words why there is none, or NULL. */
static const char *find_s5(const struct acpi_buffer *root)
{
    struct acpi_buffer table;
    uint32_t index = 0;
    bool dsdt = open_table(found.fadt.x_dsdt, ACPI_DSDT, &table) ||
                open_table(found.fadt.dsdt, ACPI_DSDT, &table);

    if (dsdt && find_s5_in(&table))
        return NULL;
    while (open_next(root, &index, ACPI_SSDT, &table)) {
        if (find_s5_in(&table))
            return NULL;
    }
    return dsdt ? "no S5" : "no sound DSDT";
}

static const char *look_for_power_off(const struct acpi_buffer *root)
{
    if (found.fadt.hardware_reduced)
        return "reduced hardware";
    if (found.fadt.pm1a_control == 0)
        return "no PM1 control port";
    return find_s5(root);
}

static const char *look_for_reset(void)
{
    const struct acpi_register *reset = &found.fadt.reset;

    if (!found.fadt.has_reset)
        return "no register";
    switch (reset->space) {
    case ACPI_SPACE_IO:
        return reset->address <= UINT16_MAX ? NULL : "impossible port";
    case ACPI_SPACE_MEMORY:
        found.reset_map = map_window(reset->address, 1, WINDOW_DEVICE);
        return found.reset_map != NULL ? NULL : "register out of reach";
    case ACPI_SPACE_PCI:
        return NULL;
    default:
        return "unknown register";
    }
}

static void look_into(const struct acpi_buffer *root)
{
    found.has_madt = read_madt(root);
    read_hpet(root);
    found.has_fadt = read_fadt(root);
    if (!found.has_fadt) {
        found.no_power_off = found.no_reset = "no sound FADT";
        return;
    }
    found.no_power_off = look_for_power_off(root);
    found.no_reset = look_for_reset();
}

/* ---- The line ---- */

static void describe_power_off(char *text, size_t size)
{
    const struct acpi_fadt *fadt = &found.fadt;

    if (found.no_power_off != NULL)
        ksnprintf(text, size, "no (%s)", found.no_power_off);
    else if (fadt->pm1b_control == 0)
        ksnprintf(text, size, "S5 %u,%u at port 0x%x", found.s5.type_a, found.s5.type_b,
                  fadt->pm1a_control);
    else
        ksnprintf(text, size, "S5 %u,%u at ports 0x%x,0x%x", found.s5.type_a, found.s5.type_b,
                  fadt->pm1a_control, fadt->pm1b_control);
}

static void describe_reset(char *text, size_t size)
{
    static const char *const spaces[] = {
        [ACPI_SPACE_MEMORY] = "memory", [ACPI_SPACE_IO] = "port", [ACPI_SPACE_PCI] = "PCI"
    };
    const struct acpi_register *reset = &found.fadt.reset;

    if (found.no_reset != NULL)
        ksnprintf(text, size, "no (%s)", found.no_reset);
    else
        ksnprintf(text, size, "0x%02x to %s 0x%llx", found.fadt.reset_value, spaces[reset->space],
                  (unsigned long long)reset->address);
}

void acpi_init(void)
{
    struct acpi_rsdp rsdp;
    struct acpi_buffer root;
    char off[64], reset[64];

    if (!find_rsdp(&rsdp)) {
        klog_warning("ACPI: none");
        return;
    }
    if (!open_table(rsdp.xsdt, ACPI_XSDT, &root) && !open_table(rsdp.rsdt, ACPI_RSDT, &root)) {
        klog_warning("ACPI: revision %u, but its tables cannot be read", rsdp.revision);
        return;
    }
    look_into(&root);
    close_table(&root);

    describe_power_off(off, sizeof(off));
    describe_reset(reset, sizeof(reset));
    klog("ACPI: revision %u, poweroff: %s, reset: %s", rsdp.revision, off, reset);
}

/* ---- Using it ---- */

const struct acpi_fadt *acpi_fadt(void)
{
    return found.has_fadt ? &found.fadt : NULL;
}

const struct acpi_madt *acpi_madt(void)
{
    return found.has_madt ? &found.madt : NULL;
}

paddr64_t acpi_hpet_address(void)
{
    return found.hpet;
}

static void wait_ms(uint32_t ms)
{
    for (uint32_t i = 0; i < ms; i++)
        timer_busy_wait_us(1000);
}

/* Firmware watches the SMI command port, and answers by setting SCI_EN. Best effort. */
static void enter_acpi_mode(void)
{
    const struct acpi_fadt *fadt = &found.fadt;

    if (inw(fadt->pm1a_control) & PM1_SCI_EN || fadt->smi_command == 0 || fadt->acpi_enable == 0)
        return;
    outb(fadt->smi_command, fadt->acpi_enable);
    for (uint32_t ms = 0; ms < ACPI_MODE_WAIT_MS; ms++) {
        if (inw(fadt->pm1a_control) & PM1_SCI_EN)
            return;
        wait_ms(1);
    }
    klog_warning("ACPI: firmware does not turn it on; switching off all the same");
}

/* The sleep type is written first alone, then with the bit that makes it happen. */
static void write_sleep(uint32_t enable)
{
    const struct acpi_fadt *fadt = &found.fadt;
    uint32_t keep = inw(fadt->pm1a_control) & ~(PM1_SLEEP_TYPE_MASK | PM1_SLEEP_ENABLE);

    outw(fadt->pm1a_control, (uint16_t)(keep | PM1_SLEEP_TYPE(found.s5.type_a) | enable));
    if (fadt->pm1b_control == 0)
        return;
    keep = inw(fadt->pm1b_control) & ~(PM1_SLEEP_TYPE_MASK | PM1_SLEEP_ENABLE);
    outw(fadt->pm1b_control, (uint16_t)(keep | PM1_SLEEP_TYPE(found.s5.type_b) | enable));
}

void acpi_power_off(void)
{
    if (found.no_power_off != NULL)
        return;
    enter_acpi_mode();
    write_sleep(0);
    write_sleep(PM1_SLEEP_ENABLE);
    wait_ms(SLEEP_WAIT_MS);
}

/* The register's address holds device, function and offset; the bus is 0. */
static void write_pci(uint64_t address, uint8_t value)
{
    uint32_t device = (uint32_t)(address >> 32) & 0x1f;
    uint32_t function = (uint32_t)(address >> 16) & 7;

    pci_write_byte(PCI_ADDRESS(0, device, function), (uint32_t)address & 0xff, value);
}

void acpi_reset(void)
{
    const struct acpi_register *reset = &found.fadt.reset;

    if (found.no_reset != NULL)
        return;
    switch (reset->space) {
    case ACPI_SPACE_MEMORY:
        *found.reset_map = found.fadt.reset_value;
        break;
    case ACPI_SPACE_IO:
        outb((uint16_t)reset->address, found.fadt.reset_value);
        break;
    case ACPI_SPACE_PCI:
        write_pci(reset->address, found.fadt.reset_value);
        break;
    }
    wait_ms(RESET_WAIT_MS);
}
