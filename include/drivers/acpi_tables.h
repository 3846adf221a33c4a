/*
 * ACPI's tables, read as buffers of bytes that nobody vouches for.
 *
 * Pure: nothing outside [bytes, bytes + size) is read, whatever the bytes say. Nothing is kept of
 * a buffer: all answers are copies. Numbers are little-endian, offsets need no alignment.
 *
 * Source: ACPI Specification 6.4, "ACPI Software Programming Model" (tables), "ACPI Machine
 * Language (AML) Specification" (the S5 package).
 */
#ifndef DRIVERS_ACPI_TABLES_H
#define DRIVERS_ACPI_TABLES_H

#include <types.h>

/* A table that claims to be larger is not believed. */
#define ACPI_TABLE_MAX   (1u * MIB)

#define ACPI_HEADER_SIZE 36u
#define ACPI_RSDP_STEP   16u /* the root pointer lies at a multiple of this */

/* Signatures, as the bytes read as a number. */
#define ACPI_SIGNATURE(a, b, c, d)                                                                 \
    ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
#define ACPI_RSDT ACPI_SIGNATURE('R', 'S', 'D', 'T')
#define ACPI_XSDT ACPI_SIGNATURE('X', 'S', 'D', 'T')
#define ACPI_FADT ACPI_SIGNATURE('F', 'A', 'C', 'P')
#define ACPI_MADT ACPI_SIGNATURE('A', 'P', 'I', 'C')
#define ACPI_HPET ACPI_SIGNATURE('H', 'P', 'E', 'T')
#define ACPI_DSDT ACPI_SIGNATURE('D', 'S', 'D', 'T')
#define ACPI_SSDT ACPI_SIGNATURE('S', 'S', 'D', 'T')

enum acpi_status {
    ACPI_OK,
    ACPI_NOT_FOUND,  /* another signature, or no such thing inside */
    ACPI_BAD_LENGTH, /* too short for what it is, past the buffer's end, or too long */
    ACPI_BAD_CHECKSUM,
};

/* A few words for a status. */
const char *acpi_status_text(enum acpi_status status);

struct acpi_buffer {
    const uint8_t *bytes;
    uint32_t size;
};

/* ---- The root pointer ---- */

struct acpi_rsdp {
    uint8_t revision; /* 0: ACPI 1.0; 2: later */
    uint32_t rsdt;    /* physical; 0: there is none */
    uint64_t xsdt;    /* physical; 0: there is none, or the buffer ends before it */
};

/*
 * Reads the root pointer at the beginning of a buffer. A later one has a second half with its own
 * checksum, which must be right unless the buffer holds the first 20 bytes alone, as a copy for
 * ACPI 1.0 does.
 */
enum acpi_status acpi_read_rsdp(const struct acpi_buffer *buffer, struct acpi_rsdp *rsdp);

/* Searches a buffer for the first sound root pointer, at multiples of ACPI_RSDP_STEP. */
bool acpi_find_rsdp(const struct acpi_buffer *buffer, struct acpi_rsdp *rsdp);

/* ---- Tables ---- */

struct acpi_header {
    uint32_t signature;
    uint32_t length; /* of the whole table; ACPI_HEADER_SIZE to ACPI_TABLE_MAX */
    uint8_t revision;
};

/*
 * Reads a table's header, of which the buffer need not hold more. ACPI_BAD_LENGTH when it is cut
 * or claims an impossible length.
 */
enum acpi_status acpi_read_header(const struct acpi_buffer *buffer, struct acpi_header *header);

/* Judges a whole table: signature, length within the buffer, checksum. Cuts `table` to its length.
 */
enum acpi_status acpi_check_table(struct acpi_buffer *table, uint32_t signature);

/*
 * The physical address in entry `index` (from 0) of a checked RSDT or XSDT. False behind the last;
 * a part of an entry at the end is none.
 */
bool acpi_root_entry(const struct acpi_buffer *root, uint32_t index, uint64_t *address);

/* ---- The FADT ---- */

enum acpi_space {
    ACPI_SPACE_MEMORY = 0,
    ACPI_SPACE_IO = 1,
    ACPI_SPACE_PCI = 2, /* bus 0; address: device in bits 32-36, function 16-18, offset 0-7 */
};

/* A register anywhere ("Generic Address Structure"). */
struct acpi_register {
    uint8_t space; /* enum acpi_space, or something else */
    uint64_t address;
};

struct acpi_fadt {
    uint8_t revision;
    bool hardware_reduced; /* there are no PM1 registers */
    uint32_t dsdt;         /* physical; 0: none */
    uint64_t x_dsdt;       /* the same, to be preferred; 0: none */
    uint16_t pm1a_control; /* port; 0: none. From the 64-bit field where that names a port */
    uint16_t pm1b_control;
    uint16_t smi_command;       /* port that turns ACPI on; 0: it is always on */
    uint8_t acpi_enable;        /* what to write there; 0: it is always on */
    bool has_reset;             /* the two below count */
    struct acpi_register reset; /* 8 bits wide; address not 0 */
    uint8_t reset_value;
    uint16_t pm_timer; /* port, to be read as 32 bits; 0: none. From the 64-bit field likewise */
    bool pm_timer_32_bits; /* else it has 24 */
};

/* Reads a checked FADT. ACPI_BAD_LENGTH when it is shorter than ACPI 1.0's. */
enum acpi_status acpi_read_fadt(const struct acpi_buffer *table, struct acpi_fadt *fadt);

/* ---- The MADT ---- */

#define ACPI_ISA_LINES   16u
#define ACPI_IOAPICS_MAX 8u /* more are ignored: the ISA lines are at the first */

/* Which input of the I/O APICs an ISA line has, and how it asks there. */
struct acpi_isa_line {
    uint32_t input; /* the number itself, edge triggered, active high, unless overridden */
    bool level;
    bool active_low;
};

struct acpi_ioapic {
    uint32_t address;     /* physical */
    uint32_t first_input; /* the number of its first input among those of all */
};

struct acpi_madt {
    uint64_t lapic_address; /* physical, the same for each CPU */
    bool has_pic;           /* PCAT_COMPAT: besides all this there is a pair of 8259 */
    uint32_t ioapic_count;
    struct acpi_ioapic ioapics[ACPI_IOAPICS_MAX];
    struct acpi_isa_line isa[ACPI_ISA_LINES];
};

/*
 * Reads a checked MADT, up to the first entry that is cut or claims an impossible length.
 * ACPI_BAD_LENGTH when it ends before its entries. Source: "Multiple APIC Description Table".
 */
enum acpi_status acpi_read_madt(const struct acpi_buffer *table, struct acpi_madt *madt);

/* ---- The HPET's table ---- */

/*
 * The physical address of the registers out of a checked table; 0 where they are not in memory.
 * ACPI_BAD_LENGTH when it is cut. Source: IA-PC HPET Specification 1.0a, "The ACPI 2.0 HPET
 * Description Table".
 */
enum acpi_status acpi_read_hpet(const struct acpi_buffer *table, uint64_t *address);

/* ---- S5 ---- */

#define ACPI_SLEEP_TYPE_MAX 7u

struct acpi_s5 {
    uint8_t type_a, type_b; /* for PM1a and PM1b control; 0 to ACPI_SLEEP_TYPE_MAX */
};

/*
 * Searches a checked DSDT or SSDT for the first object `_S5_` that is a package of plain numbers,
 * as every firmware writes it; AML is not interpreted. A package of a single number holds both
 * types, one in each of its low bytes.
 */
bool acpi_find_s5(const struct acpi_buffer *table, struct acpi_s5 *s5);

#endif
