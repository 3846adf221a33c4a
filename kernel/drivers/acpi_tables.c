/*
 * ACPI's tables over (buffer, length).
 *
 * All reads go through get8, get16, get32 and get64, which check their offset against the buffer's
 * size. A table is at most ACPI_TABLE_MAX long, so that no sum of two offsets can wrap; a buffer
 * that is searched for the root pointer may be of any size.
 */
#include <drivers/acpi_tables.h>

/* The root pointer. */
#define RSDP_REVISION       15u
#define RSDP_RSDT           16u
#define RSDP_OLD_SIZE       20u
#define RSDP_LENGTH         20u
#define RSDP_XSDT           24u
#define RSDP_NEW_SIZE       36u

/* A table's header. */
#define HEADER_LENGTH       4u
#define HEADER_REVISION     8u

/* The FADT. */
#define FADT_DSDT           40u
#define FADT_SMI_COMMAND    48u
#define FADT_ACPI_ENABLE    52u
#define FADT_PM1A_CONTROL   64u
#define FADT_PM1B_CONTROL   68u
#define FADT_PM_TIMER       76u
#define FADT_PM_TIMER_SIZE  91u
#define FADT_FLAGS          112u
#define FADT_OLD_SIZE       116u
#define FADT_RESET          116u
#define FADT_RESET_VALUE    128u
#define FADT_X_DSDT         140u
#define FADT_X_PM1A_CONTROL 172u
#define FADT_X_PM1B_CONTROL 184u
#define FADT_X_PM_TIMER     208u

#define FLAG_PM_TIMER_32    (1u << 8)  /* TMR_VAL_EXT */
#define FLAG_RESET          (1u << 10) /* RESET_REG_SUP */
#define FLAG_REDUCED        (1u << 20) /* HW_REDUCED_ACPI */

/* The MADT: entries, each of which begins with its type and its length. */
#define MADT_LAPIC          36u
#define MADT_FLAGS          40u
#define MADT_ENTRIES        44u
#define MADT_PCAT_COMPAT    (1u << 0)
#define ENTRY_HEADER        2u
#define ENTRY_IOAPIC        1u
#define ENTRY_OVERRIDE      2u
#define ENTRY_LAPIC_ADDRESS 5u
#define OVERRIDE_BUS_ISA    0u
#define OVERRIDE_POLARITY   0x3u /* 0: as the bus has it */
#define OVERRIDE_ACTIVE_LOW 0x3u
#define OVERRIDE_TRIGGER    0xcu
#define OVERRIDE_LEVEL      0xcu

#define HPET_REGISTERS      40u

/* A register: space, width, offset, access size, address. */
#define REGISTER_ADDRESS    4u

/* AML's encodings. */
#define AML_ZERO            0x00
#define AML_ONE             0x01
#define AML_NAME            0x08
#define AML_BYTE            0x0a
#define AML_WORD            0x0b
#define AML_DWORD           0x0c
#define AML_PACKAGE         0x12
#define AML_ROOT            '\\'

#define S5_NAME             ACPI_SIGNATURE('_', 'S', '5', '_')

static bool get8(const struct acpi_buffer *buffer, uint32_t offset, uint8_t *value)
{
    *value = 0;
    if (offset >= buffer->size)
        return false;
    *value = buffer->bytes[offset];
    return true;
}

/* A number of `size` bytes, 1 to 8. */
static bool get(const struct acpi_buffer *buffer, uint32_t offset, uint32_t size, uint64_t *value)
{
    *value = 0;
    if (buffer->size < size || offset > buffer->size - size)
        return false;
    for (uint32_t i = 0; i < size; i++)
        *value |= (uint64_t)buffer->bytes[offset + i] << (8 * i);
    return true;
}

static bool get16(const struct acpi_buffer *buffer, uint32_t offset, uint16_t *value)
{
    uint64_t wide;
    bool ok = get(buffer, offset, 2, &wide);

    *value = (uint16_t)wide;
    return ok;
}

static bool get32(const struct acpi_buffer *buffer, uint32_t offset, uint32_t *value)
{
    uint64_t wide;
    bool ok = get(buffer, offset, 4, &wide);

    *value = (uint32_t)wide;
    return ok;
}

static bool get64(const struct acpi_buffer *buffer, uint32_t offset, uint64_t *value)
{
    return get(buffer, offset, 8, value);
}

const char *acpi_status_text(enum acpi_status status)
{
    switch (status) {
    case ACPI_OK:
        return "sound";
    case ACPI_NOT_FOUND:
        return "not found";
    case ACPI_BAD_LENGTH:
        return "its length is impossible";
    case ACPI_BAD_CHECKSUM:
        return "its checksum is wrong";
    }
    return "unknown status";
}

/* Whether `size` bytes from the beginning add up to 0; false when there are not as many. */
static bool sums_to_zero(const struct acpi_buffer *buffer, uint32_t size)
{
    uint8_t sum = 0, byte;

    for (uint32_t i = 0; i < size; i++) {
        if (!get8(buffer, i, &byte))
            return false;
        sum = (uint8_t)(sum + byte);
    }
    return sum == 0;
}

/* ---- The root pointer ---- */

static enum acpi_status read_second_half(const struct acpi_buffer *buffer, struct acpi_rsdp *rsdp)
{
    uint32_t length;

    if (!get32(buffer, RSDP_LENGTH, &length) || length < RSDP_NEW_SIZE || length > buffer->size)
        return ACPI_BAD_LENGTH;
    if (!sums_to_zero(buffer, length))
        return ACPI_BAD_CHECKSUM;
    return get64(buffer, RSDP_XSDT, &rsdp->xsdt) ? ACPI_OK : ACPI_BAD_LENGTH;
}

enum acpi_status acpi_read_rsdp(const struct acpi_buffer *buffer, struct acpi_rsdp *rsdp)
{
    uint32_t first, second;

    *rsdp = (struct acpi_rsdp){ 0 };
    if (!get32(buffer, 0, &first) || !get32(buffer, 4, &second) ||
        first != ACPI_SIGNATURE('R', 'S', 'D', ' ') || second != ACPI_SIGNATURE('P', 'T', 'R', ' '))
        return ACPI_NOT_FOUND;
    if (!get8(buffer, RSDP_REVISION, &rsdp->revision) || !get32(buffer, RSDP_RSDT, &rsdp->rsdt))
        return ACPI_BAD_LENGTH;
    if (!sums_to_zero(buffer, RSDP_OLD_SIZE))
        return ACPI_BAD_CHECKSUM;
    if (rsdp->revision < 2 || buffer->size == RSDP_OLD_SIZE)
        return ACPI_OK;
    return read_second_half(buffer, rsdp);
}

bool acpi_find_rsdp(const struct acpi_buffer *buffer, struct acpi_rsdp *rsdp)
{
    struct acpi_buffer rest = *buffer;

    while (acpi_read_rsdp(&rest, rsdp) != ACPI_OK) {
        if (rest.size <= ACPI_RSDP_STEP)
            return false;
        rest.bytes += ACPI_RSDP_STEP;
        rest.size -= ACPI_RSDP_STEP;
    }
    return true;
}

/* ---- Tables ---- */

enum acpi_status acpi_read_header(const struct acpi_buffer *buffer, struct acpi_header *header)
{
    *header = (struct acpi_header){ 0 };
    if (buffer->size < ACPI_HEADER_SIZE || !get32(buffer, 0, &header->signature) ||
        !get32(buffer, HEADER_LENGTH, &header->length) ||
        !get8(buffer, HEADER_REVISION, &header->revision))
        return ACPI_BAD_LENGTH;
    return header->length >= ACPI_HEADER_SIZE && header->length <= ACPI_TABLE_MAX ? ACPI_OK
                                                                                  : ACPI_BAD_LENGTH;
}

enum acpi_status acpi_check_table(struct acpi_buffer *table, uint32_t signature)
{
    struct acpi_header header;
    enum acpi_status status = acpi_read_header(table, &header);

    if (status != ACPI_OK)
        return status;
    if (header.signature != signature)
        return ACPI_NOT_FOUND;
    if (header.length > table->size)
        return ACPI_BAD_LENGTH;
    if (!sums_to_zero(table, header.length))
        return ACPI_BAD_CHECKSUM;
    table->size = header.length;
    return ACPI_OK;
}

bool acpi_root_entry(const struct acpi_buffer *root, uint32_t index, uint64_t *address)
{
    uint32_t signature;

    *address = 0;
    if (!get32(root, 0, &signature))
        return false;
    uint32_t size = signature == ACPI_XSDT ? 8 : 4;
    return index < ACPI_TABLE_MAX / size &&
           get(root, ACPI_HEADER_SIZE + index * size, size, address);
}

/* ---- The FADT ---- */

static bool get_register(const struct acpi_buffer *table, uint32_t offset,
                         struct acpi_register *reg)
{
    return get8(table, offset, &reg->space) &&
           get64(table, offset + REGISTER_ADDRESS, &reg->address);
}

/* A port from a number of 64 bits; 0 when it is none. The port is to be read as 16 bits. */
static uint16_t port_of(uint64_t address)
{
    return address < UINT16_MAX ? (uint16_t)address : 0;
}

/* The same, of a port that is to be read as 32 bits. */
static uint16_t wide_port_of(uint64_t address)
{
    return address < UINT16_MAX - 2 ? (uint16_t)address : 0;
}

/* A control port: from its 64-bit field where that is there and names a port, else the old way. */
static uint16_t get_port(const struct acpi_buffer *table, uint32_t old_offset, uint32_t new_offset)
{
    struct acpi_register reg = { 0, 0 };
    uint32_t old;

    if (get_register(table, new_offset, &reg) && reg.space == ACPI_SPACE_IO &&
        port_of(reg.address) != 0)
        return port_of(reg.address);
    return get32(table, old_offset, &old) ? port_of(old) : 0;
}

static bool get_reset(const struct acpi_buffer *table, struct acpi_fadt *fadt)
{
    return get_register(table, FADT_RESET, &fadt->reset) && fadt->reset.address != 0 &&
           get8(table, FADT_RESET_VALUE, &fadt->reset_value);
}

/* A length other than 4 bytes says that there is no such timer. */
static void get_pm_timer(const struct acpi_buffer *table, uint32_t flags, struct acpi_fadt *fadt)
{
    uint8_t size;

    if (fadt->hardware_reduced || !get8(table, FADT_PM_TIMER_SIZE, &size) || size != 4)
        return;
    fadt->pm_timer = wide_port_of(get_port(table, FADT_PM_TIMER, FADT_X_PM_TIMER));
    fadt->pm_timer_32_bits = flags & FLAG_PM_TIMER_32;
}

enum acpi_status acpi_read_fadt(const struct acpi_buffer *table, struct acpi_fadt *fadt)
{
    uint32_t flags, smi_command;

    *fadt = (struct acpi_fadt){ 0 };
    if (table->size < FADT_OLD_SIZE || !get8(table, HEADER_REVISION, &fadt->revision) ||
        !get32(table, FADT_FLAGS, &flags) || !get32(table, FADT_DSDT, &fadt->dsdt) ||
        !get32(table, FADT_SMI_COMMAND, &smi_command) ||
        !get8(table, FADT_ACPI_ENABLE, &fadt->acpi_enable))
        return ACPI_BAD_LENGTH;

    fadt->hardware_reduced = flags & FLAG_REDUCED;
    fadt->smi_command = port_of(smi_command);
    fadt->pm1a_control = get_port(table, FADT_PM1A_CONTROL, FADT_X_PM1A_CONTROL);
    fadt->pm1b_control = get_port(table, FADT_PM1B_CONTROL, FADT_X_PM1B_CONTROL);
    fadt->has_reset = flags & FLAG_RESET && get_reset(table, fadt);
    get_pm_timer(table, flags, fadt);
    get64(table, FADT_X_DSDT, &fadt->x_dsdt); /* 0 where the table ends before it */
    return ACPI_OK;
}

/* ---- The MADT ---- */

static void read_ioapic(const struct acpi_buffer *entry, struct acpi_madt *madt)
{
    struct acpi_ioapic ioapic;

    if (madt->ioapic_count < ACPI_IOAPICS_MAX && get32(entry, 4, &ioapic.address) &&
        get32(entry, 8, &ioapic.first_input))
        madt->ioapics[madt->ioapic_count++] = ioapic;
}

static void read_override(const struct acpi_buffer *entry, struct acpi_madt *madt)
{
    uint32_t input;
    uint16_t flags;
    uint8_t bus, line;

    if (!get8(entry, 2, &bus) || bus != OVERRIDE_BUS_ISA || !get8(entry, 3, &line) ||
        line >= ACPI_ISA_LINES || !get32(entry, 4, &input) || !get16(entry, 8, &flags))
        return;
    madt->isa[line] = (struct acpi_isa_line){
        .input = input,
        .level = (flags & OVERRIDE_TRIGGER) == OVERRIDE_LEVEL,
        .active_low = (flags & OVERRIDE_POLARITY) == OVERRIDE_ACTIVE_LOW,
    };
}

static void read_entry(const struct acpi_buffer *entry, uint8_t type, struct acpi_madt *madt)
{
    uint64_t address;

    switch (type) {
    case ENTRY_IOAPIC:
        read_ioapic(entry, madt);
        break;
    case ENTRY_OVERRIDE:
        read_override(entry, madt);
        break;
    case ENTRY_LAPIC_ADDRESS:
        if (get64(entry, 4, &address))
            madt->lapic_address = address;
        break;
    }
}

enum acpi_status acpi_read_madt(const struct acpi_buffer *table, struct acpi_madt *madt)
{
    uint32_t lapic, flags;
    uint8_t type, length;

    *madt = (struct acpi_madt){ 0 };
    for (uint32_t line = 0; line < ACPI_ISA_LINES; line++)
        madt->isa[line].input = line;
    if (!get32(table, MADT_LAPIC, &lapic) || !get32(table, MADT_FLAGS, &flags))
        return ACPI_BAD_LENGTH;
    madt->lapic_address = lapic;
    madt->has_pic = flags & MADT_PCAT_COMPAT;

    for (uint32_t at = MADT_ENTRIES; get8(table, at, &type) && get8(table, at + 1, &length);
         at += length) {
        if (length < ENTRY_HEADER || length > table->size - at)
            break;
        struct acpi_buffer entry = { table->bytes + at, length };
        read_entry(&entry, type, madt);
    }
    return ACPI_OK;
}

/* ---- The HPET's table ---- */

enum acpi_status acpi_read_hpet(const struct acpi_buffer *table, uint64_t *address)
{
    struct acpi_register registers;

    *address = 0;
    if (!get_register(table, HPET_REGISTERS, &registers))
        return ACPI_BAD_LENGTH;
    if (registers.space == ACPI_SPACE_MEMORY)
        *address = registers.address;
    return ACPI_OK;
}

/* ---- S5 ---- */

/* Reads a number and moves *offset behind it. */
static bool get_number(const struct acpi_buffer *aml, uint32_t *offset, uint64_t *value)
{
    uint32_t size;
    uint8_t op;

    *value = 0;
    if (!get8(aml, *offset, &op))
        return false;
    *offset += 1;
    switch (op) {
    case AML_ZERO:
    case AML_ONE:
        *value = op;
        return true;
    case AML_BYTE:
        size = 1;
        break;
    case AML_WORD:
        size = 2;
        break;
    case AML_DWORD:
        size = 4;
        break;
    default:
        return false; /* a name, a string, a calculation */
    }
    if (!get(aml, *offset, size, value))
        return false;
    *offset += size;
    return true;
}

/*
 * Reads a package's length, which counts from its own first byte, and moves *offset behind it. The
 * top two bits of the first byte say how many bytes follow; then its low four bits come first.
 */
static bool get_package_length(const struct acpi_buffer *aml, uint32_t *offset, uint32_t *length)
{
    uint64_t more;
    uint8_t lead;

    *length = 0;
    if (!get8(aml, *offset, &lead))
        return false;
    uint32_t following = lead >> 6;
    *offset += 1;
    if (following == 0) {
        *length = lead & 0x3f;
        return true;
    }
    if (!get(aml, *offset, following, &more))
        return false;
    *length = (uint32_t)more << 4 | (lead & 0x0f);
    *offset += following;
    return true;
}

/* Both types, from the package whose operation stands at `offset`. */
static bool read_package(const struct acpi_buffer *table, uint32_t offset, struct acpi_s5 *s5)
{
    struct acpi_buffer package = *table;
    uint64_t a, b;
    uint32_t length;
    uint8_t op, count;

    if (!get8(table, offset, &op) || op != AML_PACKAGE)
        return false;
    uint32_t start = ++offset;
    if (!get_package_length(table, &offset, &length) || length > table->size - start)
        return false;
    package.size = start + length; /* nothing behind its end belongs to it */

    if (!get8(&package, offset++, &count) || count == 0 || !get_number(&package, &offset, &a))
        return false;
    if (count == 1) {
        b = a >> 8 & 0xff;
        a &= 0xff;
    } else if (!get_number(&package, &offset, &b)) {
        return false;
    }
    if (a > ACPI_SLEEP_TYPE_MAX || b > ACPI_SLEEP_TYPE_MAX)
        return false;
    *s5 = (struct acpi_s5){ (uint8_t)a, (uint8_t)b };
    return true;
}

/* Whether the name at `offset` is being given to something: NameOp before it, or NameOp and `\`. */
static bool is_defined(const struct acpi_buffer *table, uint32_t offset)
{
    uint8_t before;

    if (!get8(table, offset - 1, &before))
        return false;
    if (before == AML_ROOT && !get8(table, offset - 2, &before))
        return false;
    return before == AML_NAME;
}

bool acpi_find_s5(const struct acpi_buffer *table, struct acpi_s5 *s5)
{
    uint32_t name;

    *s5 = (struct acpi_s5){ 0, 0 };
    for (uint32_t at = ACPI_HEADER_SIZE; get32(table, at, &name); at++) {
        if (name == S5_NAME && is_defined(table, at) && read_package(table, at + 4, s5))
            return true;
    }
    return false;
}
