/*
 * The walk over the PCI buses, and the probing of base address registers.
 *
 * A bus is looked at when a bridge names it as its secondary bus, as firmware has set it up, and
 * once only: bridges that lead in a circle cannot hold the walk up. Bus 0 is always there. Where
 * device 0 on it has several functions that are host bridges, function N is the root of bus N.
 *
 * Probing a base address register writes ones to it. Meanwhile the function must not decode: it
 * would answer at the top of the address space. And as it may be the screen's, or the bridge
 * before the screen, nothing else may run then. Not probed are host bridges, which must go on
 * decoding because RAM is behind them, and the functions in `no_bars`.
 *
 * Sources: PCI Local Bus Specification 3.0, "Configuration Space Organization" and "Base
 * Addresses"; PCI-to-PCI Bridge Architecture Specification 1.2, "Configuration Registers"; PCI Bus
 * Power Management Interface Specification 1.2, "PMCSR".
 */
#include <drivers/pci_scan.h>
#include <lib/string.h>

#define COMMAND_DECODE       (PCI_COMMAND_IO | PCI_COMMAND_MEMORY)
#define COMMAND_BITS         0xffffu

#define HEADER_MULTIFUNCTION 0x80u
#define HEADER_TYPE          0x7fu

#define CLASS_HOST_BRIDGE    0x0600u

#define BAR_MEMORY_FLAGS     0xfu
#define ROM_ENABLE           0x1u
#define ROM_ADDRESS          0xfffff800u

#define CAPABILITIES_START   0x40u
#define CAPABILITIES_MAX     48u /* four bytes each fill the rest of configuration space */
#define CARDBUS_CAPABILITIES 0x14

#define CAPABILITY_POWER     0x01
#define POWER_CONTROL        4u /* from the capability */
#define POWER_CONTROL_LAST   (256u - 8u)
#define POWER_STATE          3u
#define POWER_WAKES          0x8100u /* PME: its enable, and its status that a one clears */

/* Functions where something else than base addresses is found in their place (Intel errata). */
static const struct {
    uint16_t vendor, device;
} no_bars[] = {
    { 0x8086, 0x2fc0 }, { 0x8086, 0x6f60 }, { 0x8086, 0x6fa0 }, { 0x8086, 0x6fc0 },
    { 0x8086, 0xa1ec }, { 0x8086, 0xa1ed }, { 0x8086, 0xa26c }, { 0x8086, 0xa26d },
};

struct scan {
    const struct pci_access *access;
    struct pci_table *table;
    bool reachable[PCI_BUSES];
};

static uint32_t bar_count(const struct pci_device_info *info)
{
    for (uint32_t i = 0; i < ARRAY_SIZE(no_bars); i++) {
        if (info->vendor == no_bars[i].vendor && info->device == no_bars[i].device)
            return 0;
    }
    switch (info->header) {
    case PCI_HEADER_DEVICE:
        return PCI_BARS;
    case PCI_HEADER_BRIDGE:
        return 2;
    default:
        return 0; /* CardBus has one, of no use here; other headers are unknown */
    }
}

static bool is_host_bridge(const struct pci_device_info *info)
{
    return (info->class << 8 | info->subclass) == CLASS_HOST_BRIDGE;
}

/* A register, or two of them as one of 64 bits. */
static uint64_t read_wide(const struct pci_access *access, pci_address_t address, uint32_t offset,
                          bool wide)
{
    uint64_t upper = wide ? access->read(address, offset + 4) : 0;
    return upper << 32 | access->read(address, offset);
}

static void write_wide(const struct pci_access *access, pci_address_t address, uint32_t offset,
                       bool wide, uint64_t value)
{
    access->write(address, offset, (uint32_t)value);
    if (wide)
        access->write(address, offset + 4, (uint32_t)(value >> 32));
}

static uint64_t probe(const struct pci_access *access, pci_address_t address, uint32_t offset,
                      bool wide, uint64_t value)
{
    write_wide(access, address, offset, wide, UINT64_MAX);
    uint64_t mask = read_wide(access, address, offset, wide);
    write_wide(access, address, offset, wide, value);
    return mask;
}

static void read_bars(const struct pci_access *access, struct pci_device_info *info)
{
    uint32_t count = bar_count(info);

    for (uint32_t i = 0; i < count; i++) {
        uint32_t offset = PCI_BAR0 + 4 * i;
        bool wide = pci_bar_is_wide(access->read(info->address, offset));

        if (wide && i + 1 == count)
            return; /* its other half would be another register */
        uint64_t value = read_wide(access, info->address, offset, wide);
        info->bars[i] =
            is_host_bridge(info)
                ? pci_decode_unprobed_bar(value)
                : pci_decode_bar(value, probe(access, info->address, offset, wide, value));
        i += wide;
    }
}

/* The status bits beside the command are cleared by ones; zeros leave them alone. */
static void write_command(const struct pci_access *access, pci_address_t address, uint32_t command)
{
    access->write(address, PCI_COMMAND, command & COMMAND_BITS);
}

static void find_bars(const struct pci_access *access, struct pci_device_info *info)
{
    if (is_host_bridge(info) || bar_count(info) == 0) {
        read_bars(access, info);
        return;
    }

    uint32_t state = access->quiet_begin();
    uint32_t command = access->read(info->address, PCI_COMMAND);
    if (command & COMMAND_DECODE)
        write_command(access, info->address, command & ~COMMAND_DECODE);
    read_bars(access, info);
    if (command & COMMAND_DECODE)
        write_command(access, info->address, command);
    access->quiet_end(state);
}

static void read_bridge(const struct pci_access *access, struct pci_device_info *info)
{
    pci_address_t address = info->address;
    uint32_t numbers = access->read(address, PCI_BUS_NUMBERS);

    info->secondary = (uint8_t)(numbers >> 8);
    info->subordinate = (uint8_t)(numbers >> 16);
    if (info->header == PCI_HEADER_CARDBUS)
        return;
    info->io_window = pci_decode_io_window(access->read(address, PCI_IO_WINDOW),
                                           access->read(address, PCI_IO_UPPER));
    info->memory_window = pci_decode_memory_window(access->read(address, PCI_MEMORY_WINDOW));
    info->prefetchable_window =
        pci_decode_prefetchable_window(access->read(address, PCI_PREFETCHABLE_WINDOW),
                                       access->read(address, PCI_PREFETCHABLE_UPPER_BASE),
                                       access->read(address, PCI_PREFETCHABLE_UPPER_LIMIT));
}

/* An enabled expansion ROM decodes addresses too, as soon as the function decodes memory. */
static uint32_t read_rom(const struct pci_access *access, const struct pci_device_info *info)
{
    uint32_t rom = 0;

    if (info->header == PCI_HEADER_DEVICE)
        rom = access->read(info->address, PCI_ROM);
    else if (info->header == PCI_HEADER_BRIDGE)
        rom = access->read(info->address, PCI_BRIDGE_ROM);
    return rom & ROM_ENABLE ? rom & ROM_ADDRESS : 0;
}

/* What can be said without writing; returns the whole header byte. */
static uint8_t identify(const struct pci_access *access, struct pci_device_info *info, uint32_t id)
{
    uint32_t class = access->read(info->address, PCI_CLASS);
    uint8_t header = (uint8_t)(access->read(info->address, PCI_HEADER) >> 16);
    uint32_t interrupt = access->read(info->address, PCI_INTERRUPT);

    info->vendor = (uint16_t)id;
    info->device = (uint16_t)(id >> 16);
    info->class = (uint8_t)(class >> 24);
    info->subclass = (uint8_t)(class >> 16);
    info->interface = (uint8_t)(class >> 8);
    info->header = header & HEADER_TYPE;
    info->interrupt_line = (uint8_t)interrupt;
    info->interrupt_pin = (uint8_t)(interrupt >> 8);
    info->rom = read_rom(access, info);
    if (info->header == PCI_HEADER_BRIDGE || info->header == PCI_HEADER_CARDBUS)
        read_bridge(access, info);
    return header;
}

/* The buses that this function leads to. Bus 0 behind a bridge means that it was not set up. */
static void note_buses(struct scan *scan, const struct pci_device_info *info)
{
    if (info->secondary != 0)
        scan->reachable[info->secondary] = true;
    if (pci_bus(info->address) == 0 && pci_device(info->address) == 0 && is_host_bridge(info))
        scan->reachable[pci_function(info->address)] = true;
}

/* False if nothing answers. A bus without an answer reads as ones, some broken devices as 0. */
static bool scan_function(struct scan *scan, pci_address_t address, uint8_t *header)
{
    struct pci_table *table = scan->table;
    struct pci_device_info info = { .address = address };
    uint32_t id = scan->access->read(address, PCI_ID);

    if ((uint16_t)id == 0xffff || (uint16_t)id == 0)
        return false;
    *header = identify(scan->access, &info, id);
    note_buses(scan, &info);
    if (table->count == PCI_MAX_FUNCTIONS) {
        table->left_out++;
        return true;
    }
    find_bars(scan->access, &info);
    table->functions[table->count++] = info;
    return true;
}

static void scan_bus(struct scan *scan, uint32_t bus)
{
    bool found = false;

    for (uint32_t device = 0; device < 32; device++) {
        uint8_t header, other;

        if (!scan_function(scan, PCI_ADDRESS(bus, device, 0), &header))
            continue;
        found = true;
        for (uint32_t f = 1; f < 8 && (header & HEADER_MULTIFUNCTION); f++)
            (void)scan_function(scan, PCI_ADDRESS(bus, device, f), &other);
    }
    scan->table->buses += found;
}

void pci_scan(const struct pci_access *access, struct pci_table *table)
{
    struct scan scan = { .access = access, .table = table, .reachable = { [0] = true } };
    bool visited[PCI_BUSES] = { false };

    memset(table, 0, sizeof(*table));
    for (uint32_t bus = 0; bus < PCI_BUSES;) {
        if (!scan.reachable[bus] || visited[bus]) {
            bus++;
            continue;
        }
        visited[bus] = true;
        scan_bus(&scan, bus);
        bus = 0; /* a bridge may lead to a lower number */
    }
}

bool pci_move_bar(const struct pci_access *access, struct pci_device_info *info, uint32_t bar,
                  paddr64_t to)
{
    struct pci_bar *b = &info->bars[bar];
    pci_address_t address = info->address;
    uint32_t offset = PCI_BAR0 + 4 * bar;

    uint32_t state = access->quiet_begin();
    uint32_t command = access->read(address, PCI_COMMAND);
    write_command(access, address, command & ~COMMAND_DECODE);
    uint64_t before = read_wide(access, address, offset, b->wide);
    write_wide(access, address, offset, b->wide, to);
    uint64_t after = read_wide(access, address, offset, b->wide);
    bool moved = (after & ~(uint64_t)BAR_MEMORY_FLAGS) == to;
    if (!moved)
        write_wide(access, address, offset, b->wide, before);
    write_command(access, address, command);
    access->quiet_end(state);

    if (moved)
        b->base = to;
    return moved;
}

uint32_t pci_scan_capability(const struct pci_access *access, pci_address_t address, uint8_t id)
{
    uint32_t header = access->read(address, PCI_HEADER) >> 16 & HEADER_TYPE;
    uint32_t first = header == PCI_HEADER_CARDBUS ? CARDBUS_CAPABILITIES : PCI_CAPABILITIES;

    if (!(access->read(address, PCI_COMMAND) & PCI_STATUS_CAPABILITIES))
        return 0;
    uint32_t offset = access->read(address, first) & 0xfc;
    for (uint32_t n = 0; n < CAPABILITIES_MAX && offset >= CAPABILITIES_START; n++) {
        uint32_t capability = access->read(address, offset);
        if (capability == UINT32_MAX)
            break; /* the device has gone */
        if ((uint8_t)capability == id)
            return offset;
        offset = capability >> 8 & 0xfc;
    }
    return 0;
}

/* What a function loses that is reset as it leaves D3. */
struct header {
    uint32_t command, bars[PCI_BARS], interrupt;
};

static void save_header(const struct pci_access *access, pci_address_t address,
                        struct header *header)
{
    header->command = access->read(address, PCI_COMMAND);
    header->interrupt = access->read(address, PCI_INTERRUPT);
    for (uint32_t i = 0; i < PCI_BARS; i++)
        header->bars[i] = access->read(address, PCI_BAR0 + 4 * i);
}

static void restore_header(const struct pci_access *access, pci_address_t address,
                           const struct header *header)
{
    uint32_t state = access->quiet_begin();
    write_command(access, address, header->command & ~COMMAND_DECODE);
    for (uint32_t i = 0; i < PCI_BARS; i++)
        access->write(address, PCI_BAR0 + 4 * i, header->bars[i]);
    access->write(address, PCI_INTERRUPT, header->interrupt);
    write_command(access, address, header->command);
    access->quiet_end(state);
}

uint32_t pci_wake_function(const struct pci_access *access, pci_address_t address,
                           void (*sleep)(uint32_t ms))
{
    struct header header;
    uint32_t at = pci_scan_capability(access, address, CAPABILITY_POWER);

    if (at == 0 || at > POWER_CONTROL_LAST ||
        (access->read(address, PCI_HEADER) >> 16 & HEADER_TYPE) != PCI_HEADER_DEVICE)
        return 0;
    uint32_t power = access->read(address, at + POWER_CONTROL);
    if (power == UINT32_MAX || (power & POWER_STATE) == 0)
        return 0;
    save_header(access, address, &header);
    access->write(address, at + POWER_CONTROL, power & ~(POWER_STATE | POWER_WAKES));
    sleep(PCI_WAKE_MS);
    restore_header(access, address, &header);
    return power & POWER_STATE;
}
