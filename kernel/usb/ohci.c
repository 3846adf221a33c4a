/*
 * OHCI: the USB 1.1 controllers of all but Intel and VIA, and companions of their EHCIs.
 *
 * The controller goes through a list of endpoint descriptors (EDs) for control transfers, and in
 * each frame through one of 32 lists for interrupt transfers:
 *
 *   HcControlHeadED ----> control ED --> EDs of endpoints
 *   HCCA, frame f % 32 -> interrupt ED q (periodic.h) --> ... --> interrupt ED 0 --> ...
 *
 * Those skeleton EDs are skipped and stay. What is done comes back through the done queue, whose
 * head the controller writes into the HCCA; it does so again when WDH is cleared.
 *
 * Invariants:
 * - an ED is taken from its list only with two frames between its SKIP and the end of its memory;
 * - a ring is used again only when all that the controller took from it has come back.
 *
 * A controller takes QUEUE_PAGES and a page for the HCCA once: 57 endpoints (a keyboard needs
 * two). There are no interrupts. Guarded by usb_lock(): all queues and the pool.
 *
 * Source: OpenHCI Specification 1.0a, "Host Controller Initialization", "Root Hub Partition".
 */
#include "ohci.h"
#include "mem/layout.h"
#include <drivers/pci.h>
#include <drivers/timer.h>
#include <heap.h>
#include <log.h>
#include <mem/window.h>
#include <panic.h>
#include <usb/system.h>

/* PCI */
#define CLASS_SERIAL_BUS     0x0c
#define SUBCLASS_USB         0x03
#define INTERFACE_OHCI       0x10
#define REGISTERS_BAR        0u

/* Registers, Hc... in the specification */
#define REVISION             0x00
#define INTERRUPT_ENABLE     0x10
#define INTERRUPT_DISABLE    0x14
#define HCCA                 0x18
#define CONTROL_HEAD_ED      0x20
#define BULK_HEAD_ED         0x28
#define FM_INTERVAL          0x34
#define PERIODIC_START       0x40
#define LS_THRESHOLD         0x44
#define REGISTERS_SIZE       (RH_PORT_STATUS + 4 * MAX_PORTS)

#define REVISION_MASK        0xffu
#define REVISION_1_0         0x10u

#define CONTROL_RATIO_4_TO_1 (3u << 0)
#define CONTROL_PERIODIC     (1u << 2)
#define CONTROL_STATE        (3u << 6)
#define CONTROL_OPERATIONAL  (2u << 6) /* all zeros: USBRESET */
#define CONTROL_SMI          (1u << 8) /* IR: firmware's SMM driver has it */
#define CONTROL_WAKEUP       (1u << 9) /* RWC: set by firmware if the board has that */

#define COMMAND_RESET        (1u << 0)
#define COMMAND_OWNERSHIP    (1u << 3)

#define INTERRUPT_OWNERSHIP  (1u << 30)
#define INTERRUPT_MASTER     (1u << 31)
#define INTERRUPT_ALL        0xc000007fu

#define INTERVAL_MASK        0x3fffu
#define INTERVAL_DEFAULT     11999u /* bit times of a frame, less one */
#define INTERVAL_TOGGLE      (1u << 31)
#define LARGEST_PACKET       16   /* shift */
#define MAX_OVERHEAD         210u /* bit times */
#define LS_THRESHOLD_DEFAULT 0x628u

#define OWNERSHIP_MS         500u
#define BUS_RESET_MS         50u
#define RESET_STEPS          100u /* of a microsecond; the specification grants 10 */

void ohci_warn(const struct ohci *ohci, const char *message)
{
    pci_address_t pci = ohci->usb.pci;

    klog_warning("OHCI: %02x:%02x.%x: %s", pci_bus(pci), pci_device(pci), pci_function(pci),
                 message);
}

void ohci_stop(struct ohci *ohci)
{
    ohci_write(ohci, CONTROL, ohci_read(ohci, CONTROL) & CONTROL_WAKEUP);
    pci_set_command(ohci->usb.pci, 0, PCI_COMMAND_MASTER);
}

static void ohci_describe(struct usb_controller *controller)
{
    struct ohci *ohci = ohci_of(controller);

    kprintf("  HcControl %x, HcInterruptStatus %x, frame %u, free: %u queues, HcRhPortStatus",
            ohci_read(ohci, CONTROL), ohci_read(ohci, INTERRUPT_STATUS),
            ohci_read(ohci, FM_NUMBER) & FM_NUMBER_MASK, ohci->queues.free);
    for (uint32_t port = 1; port <= ohci->usb.ports; port++)
        kprintf(" %x", ohci_read(ohci, ohci_port_register(port)));
    kprintf("\n");
}

/* ---- Start ---- */

static const struct usb_controller_ops operations = {
    .port_status = ohci_port_status,
    .port_reset = ohci_port_reset,
    .port_disable = ohci_port_disable,
    .device_open = ohci_device_open,
    .device_address = ohci_device_address,
    .device_update = ohci_device_update,
    .device_close = ohci_device_close,
    .endpoint_open = ohci_endpoint_open,
    .endpoint_close = ohci_endpoint_close,
    .endpoint_reset = ohci_endpoint_reset,
    .submit = ohci_submit,
    .cancel = ohci_cancel,
    .poll = ohci_poll,
    .describe = ohci_describe,
};

static bool smm_let_go(void *arg)
{
    const struct ohci *ohci = arg;
    return !(ohci_read(ohci, CONTROL) & CONTROL_SMI);
}

/*
 * Takes the controller from firmware: from its SMM driver by asking, from a BIOS driver, which
 * does not run any more, by a reset of the bus. Either way its interrupts end.
 */
static void take_from_firmware(struct ohci *ohci)
{
    if (!smm_let_go(ohci)) {
        ohci_write(ohci, INTERRUPT_ENABLE, INTERRUPT_OWNERSHIP);
        ohci_write(ohci, COMMAND_STATUS, COMMAND_OWNERSHIP);
        if (!usb_wait(smm_let_go, ohci, OWNERSHIP_MS))
            ohci_warn(ohci, "firmware does not let go of it; going on");
    }
    ohci_write(ohci, INTERRUPT_DISABLE, INTERRUPT_ALL);
    ohci_write(ohci, CONTROL, ohci_read(ohci, CONTROL) & CONTROL_WAKEUP);
    (void)ohci_read(ohci, CONTROL);
    usb_sleep(BUS_RESET_MS);
}

static bool reset_controller(struct ohci *ohci)
{
    ohci_write(ohci, COMMAND_STATUS, COMMAND_RESET);
    for (uint32_t step = 0; step < RESET_STEPS; step++) {
        timer_busy_wait_us(1);
        if (!(ohci_read(ohci, COMMAND_STATUS) & COMMAND_RESET))
            return true;
    }
    return false;
}

/* Frames of that many bit times, of which periodic transfers may take nine tenths. */
static bool set_frame_interval(struct ohci *ohci, uint32_t interval)
{
    uint32_t largest = (interval - MAX_OVERHEAD) * 6 / 7;
    uint32_t toggle = ~ohci_read(ohci, FM_INTERVAL) & INTERVAL_TOGGLE;

    ohci_write(ohci, FM_INTERVAL, toggle | largest << LARGEST_PACKET | interval);
    ohci_write(ohci, PERIODIC_START, interval * 9 / 10);
    ohci_write(ohci, LS_THRESHOLD, LS_THRESHOLD_DEFAULT);
    return (ohci_read(ohci, FM_INTERVAL) & INTERVAL_MASK) == interval &&
           ohci_read(ohci, PERIODIC_START) != 0;
}

/*
 * Resets it, which keeps the bus in suspend: within 2 ms it has to run again, or the devices
 * would need another bus reset. Interrupts are off. NULL or what is wrong.
 */
static const char *reset_and_run(struct ohci *ohci)
{
    uint32_t interval = ohci_read(ohci, FM_INTERVAL) & INTERVAL_MASK;
    uint32_t wakeup = ohci_read(ohci, CONTROL) & CONTROL_WAKEUP;

    if (interval <= MAX_OVERHEAD)
        interval = INTERVAL_DEFAULT;
    if (!reset_controller(ohci))
        return "its reset does not end";
    if (!set_frame_interval(ohci, interval)) {
        /* SiS, OPTi and ALi: not in suspend, but while the bus is in reset. */
        ohci_write(ohci, CONTROL, wakeup);
        if (!set_frame_interval(ohci, interval))
            return "it does not keep its frame interval";
    }
    ohci_write(ohci, HCCA, usb_phys(ohci->hcca));
    ohci_write(ohci, CONTROL_HEAD_ED, usb_phys(ohci->control));
    ohci_write(ohci, CONTROL_CURRENT_ED, 0);
    ohci_write(ohci, BULK_HEAD_ED, 0);
    ohci_write(ohci, INTERRUPT_DISABLE, INTERRUPT_ALL);
    ohci_write(ohci, INTERRUPT_STATUS, INTERRUPT_ALL & ~INTERRUPT_MASTER);
    pci_set_command(ohci->usb.pci, PCI_COMMAND_MASTER, 0);
    ohci_write(ohci, CONTROL,
               wakeup | CONTROL_OPERATIONAL | CONTROL_RATIO_4_TO_1 | CONTROL_PERIODIC |
                   CONTROL_CONTROL_LIST);
    bool runs = (ohci_read(ohci, CONTROL) & CONTROL_STATE) == CONTROL_OPERATIONAL;
    return runs ? NULL : "it does not start";
}

static struct ohci_queue *make_skeleton(struct ohci *ohci, const struct ohci_queue *next)
{
    struct ohci_queue *queue = usb_pool_take(&ohci->queues);

    ASSERT(queue != NULL); /* the pool is new */
    queue->ring.ed.control = OHCI_ED_SKIP;
    queue->ring.ed.next = next != NULL ? usb_phys(next) : 0;
    return queue;
}

static void make_schedule(struct ohci *ohci)
{
    ohci->control = make_skeleton(ohci, NULL);
    ohci->interrupt[0] = make_skeleton(ohci, NULL);
    for (uint32_t i = 1; i < PERIODIC_QUEUES; i++)
        ohci->interrupt[i] = make_skeleton(ohci, ohci->interrupt[0]);
    for (uint32_t frame = 0; frame < PERIODIC_FRAMES; frame++)
        ohci->hcca->interrupt[frame] = usb_phys(ohci->interrupt[periodic_queue_of_frame(frame)]);
}

/* False: there is too little; what was taken is for give_memory(). */
static bool take_memory(struct ohci *ohci)
{
    ohci->hcca = usb_alloc_page();
    return ohci->hcca != NULL && usb_pool_init(&ohci->queues, QUEUE_SIZE, QUEUE_PAGES);
}

static void give_memory(struct ohci *ohci)
{
    usb_pool_destroy(&ohci->queues);
    usb_free_page(ohci->hcca);
}

/* NULL or what is wrong. */
static const char *bring_up(struct ohci *ohci)
{
    if ((ohci_read(ohci, REVISION) & REVISION_MASK) != REVISION_1_0)
        return "it is not of revision 1.0";
    ohci->usb.ports = ohci_count_ports(ohci);
    if (ohci->usb.ports == 0)
        return "its number of ports is impossible";
    if (!take_memory(ohci))
        return "too little memory";
    make_schedule(ohci);
    take_from_firmware(ohci);
    uint32_t flags = usb_lock();
    const char *wrong = reset_and_run(ohci);
    usb_unlock(flags);
    return wrong;
}

/* False: it reaches no memory any more, and nothing is kept of it. */
static bool start_controller(struct ohci *ohci, const struct pci_device_info *info)
{
    ohci->registers = pci_map_bar(info, REGISTERS_BAR, REGISTERS_SIZE);
    if (ohci->registers == NULL)
        return false;
    const char *wrong = bring_up(ohci);
    if (wrong == NULL) {
        ohci_power_ports(ohci);
        if (usb_register_controller(&ohci->usb))
            return true;
    } else {
        ohci_warn(ohci, wrong);
    }
    ohci_stop(ohci);
    give_memory(ohci);
    unmap_window((const void *)ohci->registers);
    return false;
}

static void start_function(const struct pci_device_info *info)
{
    struct ohci *ohci = kcalloc(1, sizeof(*ohci));

    if (ohci == NULL) {
        klog_warning("OHCI: too little memory");
        return;
    }
    ohci->usb = (struct usb_controller){ .kind = "OHCI", .pci = info->address, .ops = &operations };
    list_init(&ohci->open);
    if (!start_controller(ohci, info))
        kfree(ohci);
}

void ohci_start(void)
{
    const struct pci_device_info *info;

    for (uint32_t i = 0; (info = pci_get(i)) != NULL; i++) {
        if (info->class == CLASS_SERIAL_BUS && info->subclass == SUBCLASS_USB &&
            info->interface == INTERFACE_OHCI)
            start_function(info);
    }
}
