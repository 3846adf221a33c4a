/*
 * xHCI: finding controllers, taking them from firmware, starting them, their commands and events.
 *
 * Firmware may leave a controller running, halted or owned by its own code for keyboards; it is
 * always reset. It never interrupts: the event ring is looked at in each tick. A controller that
 * says it has failed, or whose registers read as ones, is dead from then on.
 *
 * Source: eXtensible Host Controller Interface 1.2, "Host Controller Initialization", "USB Legacy
 * Support Capability" and "Command Interface".
 */
#include "xhci.h"
#include "../mem/layout.h"
#include <drivers/timer.h>
#include <heap.h>
#include <log.h>
#include <mem/window.h>
#include <usb/system.h>

#define XHCI_CLASS             0x0c0330u

/* Capability registers. */
#define CAP_LENGTH             0x00 /* its lowest byte; the version in the upper half */
#define CAP_STRUCTURE_1        0x04
#define CAP_STRUCTURE_2        0x08
#define CAP_PARAMETERS         0x10
#define CAP_DOORBELLS          0x14
#define CAP_RUNTIME            0x18
#define STRUCTURE_SLOTS(value) ((value)&0xff)
#define STRUCTURE_PORTS(value) ((value) >> 24)
#define SCRATCHPADS(value)     (((value) >> 21 & 0x1f) << 5 | ((value) >> 27 & 0x1f))
#define PARAMETER_BIG_CONTEXT  (1u << 2)
#define PARAMETER_EXTENDED(v)  ((v) >> 16 << 2)

#define COMMAND_RUN            (1u << 0)
#define COMMAND_RESET          (1u << 1)
#define STATUS_HALTED          (1u << 0)
#define STATUS_SYSTEM_ERROR    (1u << 2)
#define STATUS_NOT_READY       (1u << 11)
#define STATUS_INTERNAL_ERROR  (1u << 12)
#define RING_ABORT             (1u << 2)
#define RING_RUNNING           (1u << 3)

/* Of the one interrupter, from x->runtime. */
#define RT_SEGMENTS            0x28
#define RT_SEGMENT_TABLE       0x30
#define RT_DEQUEUE             0x38
#define RT_END                 0x40
#define DEQUEUE_HANDLED        (1u << 3)

#define CAPABILITY_LEGACY      1
#define LEGACY_FIRMWARE        (1u << 16)
#define LEGACY_SYSTEM          (1u << 24)
#define LEGACY_SMI_KEPT        0x000e1feeu /* what is not an enable of the second word */
#define LEGACY_SMI_EVENTS      0xe0000000u /* cleared by ones */

#define EVENT_TRANSFER         32u
#define EVENT_COMMAND          33u
#define EVENT_TYPE(control)    ((control) >> 10 & 0x3f)

#define HANDOFF_TIMEOUT_MS     1000u
#define HALT_TIMEOUT_MS        100u
#define RESET_TIMEOUT_MS       5000u /* some load their firmware meanwhile */
#define COMMAND_TIMEOUT_MS     2000u
#define MAX_CAPABILITIES       64u

/* Intel, 7 and 8 series: which ports are xHCI's and which are EHCI's. In configuration space. */
#define INTEL                  0x8086
#define INTEL_USB2_ROUTING     0xd0
#define INTEL_USB2_MASK        0xd4
#define INTEL_USB3_ENABLE      0xd8
#define INTEL_USB3_MASK        0xdc

#define RENESAS                0x1912
#define RENESAS_UPD720201      0x0014
#define RENESAS_UPD720202      0x0015

#define SCRATCHPADS_MAX        (PAGE_SIZE / sizeof(uint64_t))

_Static_assert(sizeof(struct xhci_tables) <= PAGE_SIZE, "the tables fit a page");
_Static_assert(XHCI_RING_TRBS * sizeof(struct xhci_trb) == PAGE_SIZE, "a ring is a page");

#define PLACE(x)                                                                                   \
    pci_bus((x)->info->address), pci_device((x)->info->address), pci_function((x)->info->address)

/* ---- Registers ---- */

static uint32_t read_operational(const struct xhci *x, uint32_t offset)
{
    return xhci_read(x, x->operational + offset);
}

static void write_operational(struct xhci *x, uint32_t offset, uint32_t value)
{
    xhci_write(x, x->operational + offset, value);
}

/* An address: the lower half first, for some controllers take both at the upper one. */
static void write_address(struct xhci *x, uint32_t offset, uint32_t address)
{
    xhci_write(x, offset, address);
    xhci_write(x, offset + 4, 0);
}

/* Bits of a register that are waited for. */
struct bits_wait {
    const struct xhci *x;
    uint32_t offset, mask, wanted;
};

static bool bits_are_there(void *arg)
{
    const struct bits_wait *wait = arg;
    return (xhci_read(wait->x, wait->offset) & wait->mask) == wait->wanted;
}

static bool wait_bits(const struct xhci *x, uint32_t offset, uint32_t mask, uint32_t wanted,
                      uint32_t ms)
{
    struct bits_wait wait = { x, offset, mask, wanted };
    return usb_wait(bits_are_there, &wait, ms);
}

uint32_t xhci_find_capability(const struct xhci *x, uint32_t id, uint32_t from)
{
    uint32_t at = from;

    for (uint32_t i = 0; i < MAX_CAPABILITIES; i++) {
        uint32_t next = at == 0 ? PARAMETER_EXTENDED(xhci_read(x, CAP_PARAMETERS))
                                : (xhci_read(x, at) >> 8 & 0xff) << 2;
        at += next;
        if (next == 0 || at > x->size - 8)
            return 0;
        if ((xhci_read(x, at) & 0xff) == id)
            return at;
    }
    return 0;
}

void xhci_die(struct xhci *x, const char *why, uint32_t value)
{
    if (x->controller.dead)
        return;
    x->controller.dead = true;
    pci_set_command(x->info->address, 0, PCI_COMMAND_MASTER);
    klog_warning("USB: xHCI %02x:%02x.%x is left alone: %s 0x%08x", PLACE(x), why, value);
    usb_wake();
}

/* ---- Commands ---- */

static bool command_has_ended(void *arg)
{
    const struct xhci *x = arg;
    return x->command_code != 0 || x->controller.dead;
}

/*
 * A command that does not end is given up; the controller says so when it has let go of it, and
 * stops its ring. The next doorbell starts it, at the next block: which is what is written here,
 * too, should the ring stop before the register's upper half arrives.
 */
static void abort_command(struct xhci *x)
{
    uint32_t ring = x->operational + OP_COMMAND_RING;

    write_address(x, ring, xhci_ring_position(&x->commands) | RING_ABORT);
    if (!usb_wait(command_has_ended, x, COMMAND_TIMEOUT_MS) ||
        !wait_bits(x, ring, RING_RUNNING, 0, COMMAND_TIMEOUT_MS))
        xhci_die(x, "it takes no commands, status", read_operational(x, OP_STATUS));
}

uint8_t xhci_command(struct xhci *x, uint32_t type, uint32_t parameter, uint32_t control,
                     uint8_t *slot)
{
    struct xhci_trb block = { .parameter = { parameter, 0 }, .control = TRB_TYPE(type) | control };

    if (x->controller.dead)
        return 0;
    uint32_t state = usb_lock();
    x->command_code = 0;
    xhci_ring_push(&x->commands, &block, 1, &x->command);
    xhci_ring_doorbell(x, 0, 0);
    usb_unlock(state);
    if (!usb_wait(command_has_ended, x, COMMAND_TIMEOUT_MS))
        abort_command(x);
    x->command = 0;
    if (slot != NULL)
        *slot = x->command_slot;
    return x->command_code;
}

/* ---- Events ---- */

static void command_event(struct xhci *x, const struct xhci_trb *event)
{
    if (event->parameter[0] != x->command || event->parameter[1] != 0)
        return;
    x->command_slot = (uint8_t)(event->control >> 24);
    x->command_code = (uint8_t)(event->status >> 24);
}

/* Others say nothing that is not found out by asking: ports are looked at all the time. */
static void handle_event(struct xhci *x, const struct xhci_trb *event)
{
    switch (EVENT_TYPE(event->control)) {
    case EVENT_TRANSFER:
        xhci_transfer_event(x, event);
        break;
    case EVENT_COMMAND:
        command_event(x, event);
        break;
    default:
        break;
    }
}

static void poll(struct usb_controller *controller)
{
    struct xhci *x = xhci_of(controller);
    struct xhci_trb event;
    uint32_t status = read_operational(x, OP_STATUS), taken = 0;

    if (status & (STATUS_HALTED | STATUS_SYSTEM_ERROR | STATUS_INTERNAL_ERROR)) {
        xhci_die(x, "it has failed, status", status); /* or it is gone: all bits are set */
        return;
    }
    while (taken < XHCI_RING_TRBS && xhci_event_ring_take(&x->events, &event)) {
        handle_event(x, &event);
        taken++;
    }
    if (taken != 0)
        write_address(x, x->runtime + RT_DEQUEUE,
                      xhci_event_ring_position(&x->events) | DEQUEUE_HANDLED);
}

static void describe(struct usb_controller *controller)
{
    struct xhci *x = xhci_of(controller);
    uint32_t version = xhci_read(x, CAP_LENGTH) >> 16;

    kprintf("  version %x.%02x, %u slots, %u-byte contexts, command 0x%08x, status 0x%08x\n",
            version >> 8, version & 0xff, x->slots, x->context_size,
            read_operational(x, OP_COMMAND), read_operational(x, OP_STATUS));
}

/* ---- Starting ---- */

/* Firmware that serves keyboards gives the controller up, and its interrupts into SMM stop. */
static void take_from_firmware(struct xhci *x)
{
    uint32_t at = xhci_find_capability(x, CAPABILITY_LEGACY, 0);
    if (at == 0)
        return;

    xhci_write(x, at, xhci_read(x, at) | LEGACY_SYSTEM);
    if (!wait_bits(x, at, LEGACY_FIRMWARE, 0, HANDOFF_TIMEOUT_MS)) {
        klog_warning("USB: xHCI %02x:%02x.%x: firmware does not let go; taking it", PLACE(x));
        xhci_write(x, at, (xhci_read(x, at) & ~LEGACY_FIRMWARE) | LEGACY_SYSTEM);
    }
    xhci_write(x, at + 4, (xhci_read(x, at + 4) & LEGACY_SMI_KEPT) | LEGACY_SMI_EVENTS);
}

/* From any state: halted first, for a reset while it runs has no defined result. */
static const char *reset(struct xhci *x)
{
    if (!wait_bits(x, x->operational + OP_STATUS, STATUS_NOT_READY, 0, RESET_TIMEOUT_MS))
        return "it is not ready";
    write_operational(x, OP_COMMAND, read_operational(x, OP_COMMAND) & ~COMMAND_RUN);
    if (!wait_bits(x, x->operational + OP_STATUS, STATUS_HALTED, STATUS_HALTED, HALT_TIMEOUT_MS))
        klog_warning("USB: xHCI %02x:%02x.%x does not halt; resetting it", PLACE(x));
    write_operational(x, OP_COMMAND, COMMAND_RESET);
    timer_busy_wait_us(1000); /* Intel's must not be looked at sooner */
    if (!wait_bits(x, x->operational + OP_COMMAND, COMMAND_RESET, 0, RESET_TIMEOUT_MS) ||
        !wait_bits(x, x->operational + OP_STATUS, STATUS_NOT_READY, 0, RESET_TIMEOUT_MS))
        return "its reset does not end";
    return NULL;
}

/* Where its registers are and how large its things. */
static const char *read_capabilities(struct xhci *x)
{
    uint32_t first = xhci_read(x, CAP_LENGTH), structure = xhci_read(x, CAP_STRUCTURE_1);

    if (first == UINT32_MAX)
        return "its registers read as ones";
    x->operational = first & 0xff;
    x->doorbells = xhci_read(x, CAP_DOORBELLS) & ~3u;
    x->runtime = xhci_read(x, CAP_RUNTIME) & ~0x1fu;
    x->slots = STRUCTURE_SLOTS(structure);
    x->controller.ports = STRUCTURE_PORTS(structure);
    x->context_size = xhci_read(x, CAP_PARAMETERS) & PARAMETER_BIG_CONTEXT ? 64 : 32;

    uint32_t ports_end = x->operational + OP_PORTS + OP_PORT_STRIDE * x->controller.ports;
    if (x->slots == 0 || x->controller.ports == 0 || x->operational % 4 != 0 ||
        ports_end > x->size || x->doorbells > x->size - 4 * (x->slots + 1) ||
        x->runtime > x->size - RT_END)
        return "its registers contradict themselves";
    if (!(read_operational(x, OP_PAGE_SIZE) & 1))
        return "its pages are not 4 KiB";
    if (!xhci_find_protocols(x))
        return "it says nothing of its ports";
    return NULL;
}

/* Memory that the controller wants for itself: an array of pages. */
static bool give_scratchpads(struct xhci *x)
{
    uint32_t count = SCRATCHPADS(xhci_read(x, CAP_STRUCTURE_2));
    if (count == 0)
        return true;
    if (count > SCRATCHPADS_MAX)
        return false;

    uint64_t *array = usb_alloc_page();
    if (array == NULL)
        return false;
    x->tables->contexts[0] = usb_phys(array);
    for (uint32_t i = 0; i < count; i++) {
        void *page = usb_alloc_page();
        if (page == NULL)
            return false;
        array[i] = usb_phys(page);
    }
    return true;
}

/* Undoes it, as far as it came. */
static void take_back_scratchpads(struct xhci *x)
{
    uint64_t *array = (uint64_t *)(uintptr_t)x->tables->contexts[0];

    for (uint32_t i = 0; array != NULL && i < SCRATCHPADS_MAX && array[i] != 0; i++)
        usb_free_page((void *)(uintptr_t)array[i]);
    usb_free_page(array);
}

static void give_back(struct xhci *x, void *commands, void *events)
{
    if (x->tables != NULL)
        take_back_scratchpads(x);
    usb_free_page(x->tables);
    usb_free_page(commands);
    usb_free_page(events);
}

static bool allocate(struct xhci *x)
{
    x->tables = usb_alloc_page();
    void *commands = usb_alloc_page();
    void *events = usb_alloc_page();

    if (x->tables != NULL && commands != NULL && events != NULL && give_scratchpads(x)) {
        xhci_ring_init(&x->commands, commands);
        xhci_event_ring_init(&x->events, events);
        x->tables->segments[0].base = usb_phys(events);
        x->tables->segments[0].size = XHCI_RING_TRBS;
        return true;
    }
    give_back(x, commands, events);
    return false;
}

static const char *run(struct xhci *x)
{
    write_operational(x, OP_CONFIGURE, x->slots);
    write_operational(x, OP_NOTIFICATION, 0);
    write_address(x, x->operational + OP_CONTEXT_ARRAY, usb_phys(x->tables->contexts));
    write_address(x, x->operational + OP_COMMAND_RING, xhci_ring_position(&x->commands));
    xhci_write(x, x->runtime + RT_SEGMENTS, 1);
    write_address(x, x->runtime + RT_DEQUEUE, xhci_event_ring_position(&x->events));
    write_address(x, x->runtime + RT_SEGMENT_TABLE, usb_phys(x->tables->segments));
    write_operational(x, OP_COMMAND, COMMAND_RUN);
    if (!wait_bits(x, x->operational + OP_STATUS, STATUS_HALTED, 0, HALT_TIMEOUT_MS))
        return "it does not start";
    return NULL;
}

static bool is_controller(const struct pci_device_info *info, uint32_t class)
{
    return (uint32_t)(info->class << 16 | info->subclass << 8 | info->interface) == class;
}

static bool intel_has_ehci(void)
{
    const struct pci_device_info *info;

    for (uint32_t i = 0; (info = pci_get(i)) != NULL; i++) {
        if (info->vendor == INTEL && is_controller(info, 0x0c0320))
            return true;
    }
    return false;
}

/*
 * Where Intel has both kinds of controllers, the ports can be switched between them. What may be
 * xHCI's becomes so: first the USB 3 half, so that nothing comes up at the slower speed.
 */
static void take_intel_ports(struct xhci *x)
{
    pci_address_t address = x->info->address;

    if (x->info->vendor != INTEL || !intel_has_ehci())
        return;
    pci_write(address, INTEL_USB3_ENABLE, pci_read(address, INTEL_USB3_MASK));
    pci_write(address, INTEL_USB2_ROUTING, pci_read(address, INTEL_USB2_MASK));
}

/* To EHCI, where firmware had switched them to an xHCI that does not come up. */
static void give_back_intel_ports(const struct pci_device_info *info)
{
    if (info->vendor == INTEL && intel_has_ehci())
        pci_write(info->address, INTEL_USB2_ROUTING, 0);
}

/* Those without a memory chip of their own wait for a system that brings their firmware. */
static bool may_lack_firmware(const struct pci_device_info *info)
{
    return info->vendor == RENESAS &&
           (info->device == RENESAS_UPD720201 || info->device == RENESAS_UPD720202);
}

static const struct usb_controller_ops ops = {
    .port_status = xhci_port_status,
    .port_reset = xhci_port_reset,
    .port_disable = xhci_port_disable,
    .device_open = xhci_device_open,
    .device_address = xhci_device_address,
    .device_update = xhci_device_update,
    .device_close = xhci_device_close,
    .endpoint_open = xhci_endpoint_open,
    .endpoint_close = xhci_endpoint_close,
    .endpoint_reset = xhci_endpoint_reset,
    .submit = xhci_submit,
    .cancel = xhci_cancel,
    .poll = poll,
    .describe = describe,
};

/* NULL, or what is wrong; the controller does not run then. */
static const char *bring_up(struct xhci *x)
{
    const char *wrong = read_capabilities(x);
    if (wrong != NULL)
        return wrong;

    take_from_firmware(x);
    wrong = reset(x);
    if (wrong != NULL)
        return wrong;
    if (!allocate(x))
        return "there is not enough memory for it";
    wrong = run(x);
    if (wrong != NULL) /* its pages stay taken: who knows what it does with them */
        return wrong;
    xhci_power_ports(x);
    take_intel_ports(x);
    return NULL;
}

/* What bring_up() has done is undone: after a reset the controller reaches no memory any more. */
static const char *take_down(struct xhci *x)
{
    const char *wrong = reset(x);

    if (wrong != NULL)
        return wrong;
    give_back(x, (void *)(uintptr_t)x->commands.trbs, (void *)(uintptr_t)x->events.trbs);
    return "there is not enough memory for it";
}

static void start(const struct pci_device_info *info)
{
    struct xhci *x = kcalloc(1, sizeof(*x));
    if (x == NULL) {
        klog_warning("USB: no memory for an xHCI controller");
        return;
    }
    x->info = info;
    x->controller = (struct usb_controller){ .kind = "xHCI", .pci = info->address, .ops = &ops };
    x->registers = pci_map_bar(info, 0, 0);
    if (x->registers == NULL) {
        kfree(x);
        return;
    }
    x->size = (uint32_t)info->bars[0].size;
    pci_set_command(info->address, PCI_COMMAND_MASTER | PCI_COMMAND_INTX_OFF, 0);

    const char *wrong = bring_up(x);
    if (wrong == NULL && !usb_register_controller(&x->controller))
        wrong = take_down(x);
    if (wrong != NULL) {
        klog_warning("USB: xHCI %02x:%02x.%x is left alone: %s%s", PLACE(x), wrong,
                     may_lack_firmware(info) ? "; it may lack its firmware" : "");
        pci_set_command(info->address, 0, PCI_COMMAND_MASTER);
        give_back_intel_ports(info);
        unmap_window((const void *)x->registers);
        kfree(x);
        return;
    }
    klog("USB: xHCI %02x:%02x.%x, %u ports", PLACE(x), x->controller.ports);
}

void xhci_start(void)
{
    const struct pci_device_info *info;

    for (uint32_t i = 0; (info = pci_get(i)) != NULL; i++) {
        if (is_controller(info, XHCI_CLASS))
            start(info);
    }
}
