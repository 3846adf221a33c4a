/*
 * The EHCI host controller: USB 2.0's, for high-speed devices and what hangs behind their hubs.
 *
 *     frame list (1024 frames) -> interrupt pipes -> end     the periodic schedule
 *     head -> control pipes -> head                          the asynchronous schedule, a circle
 *
 * Both schedules always run. A pipe stays in its schedule from open to close and waits there with
 * nothing to do; ehci_queue.h says how it gets its transfers. To change a queue head, or to give
 * its memory back, it is taken out, and the controller is asked (doorbell) or given time (frames)
 * to let go of it. A controller has 30 pipes, besides head and end: 15 keyboards and hubs.
 *
 * A root port serves high-speed devices alone. Slower ones go to the companion controller (UHCI or
 * OHCI), which then owns the port until they are pulled out. Where there is none, chipsets have a
 * hub soldered to the port, and a slower device at the port itself cannot be used.
 *
 * There are no interrupts: poll() looks at the descriptors. A controller that stops by itself, or
 * does not let go of a pipe, is given up: it may no longer reach memory, and all its transfers
 * fail.
 *
 * Transfers and the list of pipes are guarded by interrupts off. The rest is the thread "usb"'s.
 *
 * Source: EHCI Specification 1.0, "Register Interface", "Host Controller Initialization", "Port
 * Routing and Control", "Removing Queue Heads from Asynchronous Schedule"; its section "EHCI
 * Extended Capability: Pre-OS to OS Handoff Synchronization".
 */
#include "ehci.h"
#include "mem/layout.h"
#include <drivers/pci.h>
#include <heap.h>
#include <lib/printf.h>
#include <log.h>
#include <mem/window.h>
#include <usb/ehci_schedule.h>
#include <usb/system.h>

/* PCI: class, subclass, interface. */
#define PCI_SERIAL_BUS          0x0c
#define PCI_USB                 0x03
#define PCI_EHCI                0x20

/* Capability registers, at the start of BAR 0. */
#define CAPABILITY_SIZE         0x0c
#define CAPLENGTH               0x00 /* byte 0: where the operational registers begin */
#define HCSPARAMS               0x04
#define HCCPARAMS               0x08

#define HCSPARAMS_PORTS(p)      ((p)&0xfu)
#define HCSPARAMS_COMPANIONS(p) ((p) >> 12 & 0xfu)
#define HCCPARAMS_64_BIT        (1u << 0)
#define HCCPARAMS_EECP(p)       ((p) >> 8 & 0xffu)

/* The capability in configuration space by which firmware lets go. */
#define CAPABILITY_LEGACY       0x01
#define LEGACY_CONTROL          4u /* USBLEGCTLSTS: from the capability's start */
#define LEGACY_FIRMWARE_OWNS    (1u << 16)
#define LEGACY_FIRMWARE_BYTE    2u
#define LEGACY_SYSTEM_BYTE      3u
#define LEGACY_CLEAR            0xe0000000u /* no SMI enabled; ones clear the status */
#define CAPABILITIES_MAX        48u         /* of 4 bytes: more do not fit */

/* How long things may take, in ms. */
#define HANDOFF_MS              1000u
#define HALT_MS                 20u /* the manual: 16 microframes */
#define RESET_MS                250u
#define ROUTING_MS              5u

_Static_assert(EHCI_PIPES == EHCI_POOL_PAGES * PAGE_SIZE / EHCI_PIPE_SIZE, "what the pool has");

static uint32_t read_capability(const struct ehci *hc, uint32_t offset)
{
    return *(const volatile uint32_t *)(hc->capability + offset);
}

struct register_wait {
    const struct ehci *hc;
    uint32_t offset, mask, value;
};

static bool register_shows(void *arg)
{
    const struct register_wait *wait = arg;

    return (ehci_read(wait->hc, wait->offset) & wait->mask) == wait->value;
}

bool ehci_wait(const struct ehci *hc, uint32_t offset, uint32_t mask, uint32_t value, uint32_t ms)
{
    struct register_wait wait = { hc, offset, mask, value };

    return usb_wait(register_shows, &wait, ms);
}

/* ---- Watching ---- */

/* Without the bus the controller can neither read nor write memory. Any context. */
void ehci_give_up(struct ehci *hc, const char *why)
{
    if (hc->controller.dead)
        return;
    hc->controller.dead = true;
    ehci_write(hc, USBCMD, 0);
    pci_set_command(hc->controller.pci, 0, PCI_COMMAND_MASTER);
    klog_warning("%s: %s; it is given up", hc->name, why);
}

static void ehci_poll(struct usb_controller *controller)
{
    struct ehci *hc = ehci_of(controller);
    uint32_t status = ehci_read(hc, USBSTS);

    if (status == UINT32_MAX) {
        ehci_give_up(hc, "its registers are gone");
        return;
    }
    if (status & (USBSTS_SYSTEM_ERROR | USBSTS_HALTED)) {
        ehci_give_up(hc, status & USBSTS_SYSTEM_ERROR ? "host system error" : "it has halted");
        return;
    }
    for (struct ehci_pipe *pipe = hc->pipes; pipe != NULL; pipe = pipe->next)
        ehci_look_at(pipe);
}

static void ehci_describe(struct usb_controller *controller)
{
    const struct ehci *hc = ehci_of(controller);

    kprintf("  USBCMD %08x, USBSTS %08x, frame %u, free: %u endpoints\n", ehci_read(hc, USBCMD),
            ehci_read(hc, USBSTS), ehci_read(hc, FRINDEX) / EHCI_MICROFRAMES % EHCI_FRAMES,
            hc->pool.free);
    kprintf("  PORTSC");
    for (uint32_t port = 1; port <= controller->ports; port++)
        kprintf(" %08x", ehci_read(hc, PORTSC(port)));
    kprintf("\n");
}

static const struct usb_controller_ops ehci_ops = {
    .port_status = ehci_port_status,
    .port_reset = ehci_port_reset,
    .port_disable = ehci_port_disable,
    .device_open = ehci_device_open,
    .device_address = ehci_device_address,
    .device_update = ehci_device_update,
    .device_close = ehci_device_close,
    .endpoint_open = ehci_endpoint_open,
    .endpoint_close = ehci_endpoint_close,
    .endpoint_reset = ehci_endpoint_reset,
    .submit = ehci_submit,
    .cancel = ehci_cancel,
    .poll = ehci_poll,
    .describe = ehci_describe,
};

/* ---- Start ---- */

struct capability_wait {
    pci_address_t pci;
    uint32_t offset;
};

static bool firmware_has_let_go(void *arg)
{
    const struct capability_wait *wait = arg;

    return !(pci_read(wait->pci, wait->offset) & LEGACY_FIRMWARE_OWNS);
}

/* Takes the controller over from firmware, which may be typing with it, and turns its SMIs off. */
static void take_over(const struct ehci *hc, uint32_t offset)
{
    pci_address_t pci = hc->controller.pci;
    struct capability_wait wait = { pci, offset };

    if (pci_read(pci, offset) & LEGACY_FIRMWARE_OWNS) {
        pci_write_byte(pci, offset + LEGACY_SYSTEM_BYTE, 1);
        if (!usb_wait(firmware_has_let_go, &wait, HANDOFF_MS)) {
            klog_warning("%s: firmware does not let go of it; taking it all the same", hc->name);
            pci_write_byte(pci, offset + LEGACY_FIRMWARE_BYTE, 0);
        }
    }
    pci_write(pci, offset + LEGACY_CONTROL, LEGACY_CLEAR);
}

static void take_over_from_firmware(const struct ehci *hc)
{
    uint32_t offset = HCCPARAMS_EECP(read_capability(hc, HCCPARAMS));

    for (uint32_t i = 0; i < CAPABILITIES_MAX && offset >= 0x40 && offset % 4 == 0; i++) {
        uint32_t capability = pci_read(hc->controller.pci, offset);
        if ((capability & 0xff) == CAPABILITY_LEGACY && offset <= 0xf8)
            take_over(hc, offset);
        offset = capability >> 8 & 0xff;
    }
}

static bool reset(const struct ehci *hc)
{
    ehci_write(hc, USBCMD, ehci_read(hc, USBCMD) & ~USBCMD_RUN);
    if (!ehci_wait(hc, USBSTS, USBSTS_HALTED, USBSTS_HALTED, HALT_MS))
        klog_warning("%s: it does not halt; resetting it all the same", hc->name);
    ehci_write(hc, USBCMD, USBCMD_RESET);
    if (ehci_wait(hc, USBCMD, USBCMD_RESET, 0, RESET_MS))
        return true;
    klog_warning("%s: its reset does not end", hc->name);
    return false;
}

static bool alloc_schedules(struct ehci *hc)
{
    hc->frames = usb_alloc_page();
    if (hc->frames == NULL || !usb_pool_init(&hc->pool, EHCI_PIPE_SIZE, EHCI_POOL_PAGES)) {
        klog_warning("%s: no memory for its schedules", hc->name);
        return false;
    }
    hc->head = usb_pool_take(&hc->pool);
    hc->end = usb_pool_take(&hc->pool);
    ehci_pipe_init_head(hc->head);
    ehci_pipe_init_end(hc->end);
    ehci_schedule_init(hc->frames, hc->end);
    return true;
}

static bool run(const struct ehci *hc)
{
    if (read_capability(hc, HCCPARAMS) & HCCPARAMS_64_BIT)
        ehci_write(hc, CTRLDSSEGMENT, 0);
    ehci_write(hc, USBINTR, 0);
    ehci_write(hc, USBSTS, USBSTS_CLEAR);
    ehci_write(hc, PERIODICLISTBASE, usb_phys((const void *)hc->frames));
    ehci_write(hc, ASYNCLISTADDR, usb_phys(hc->head));
    pci_set_command(hc->controller.pci, PCI_COMMAND_MASTER, 0);
    ehci_write(hc, USBCMD, USBCMD_WORKING);
    if (ehci_wait(hc, USBSTS, USBSTS_HALTED, 0, HALT_MS))
        return true;
    klog_warning("%s: it does not run", hc->name);
    return false;
}

/* All ports come here first, and get power. */
static void take_ports(const struct ehci *hc)
{
    ehci_write(hc, CONFIGFLAG, 1);
    (void)ehci_read(hc, CONFIGFLAG); /* it has arrived */
    usb_sleep(ROUTING_MS);
    ehci_power_ports(hc);
}

/* Maps the registers and reads what the controller is. */
static bool find_registers(struct ehci *hc, const struct pci_device_info *info)
{
    hc->capability = pci_map_bar(info, 0, 0);
    if (hc->capability == NULL)
        return false;
    uint32_t parameters = read_capability(hc, HCSPARAMS);
    uint32_t length = read_capability(hc, CAPLENGTH) & 0xff;

    hc->operational = hc->capability + length;
    hc->controller.ports = HCSPARAMS_PORTS(parameters);
    hc->companions = HCSPARAMS_COMPANIONS(parameters);
    if (parameters != UINT32_MAX && hc->controller.ports != 0 && length % 4 == 0 &&
        length >= CAPABILITY_SIZE &&
        length + PORTSC(hc->controller.ports) + 4 <= info->bars[0].size)
        return true;
    klog_warning("%s: its registers make no sense (%08x)", hc->name, parameters);
    return false;
}

/* Order matters: firmware must have let go before the reset, or it would bring itself back. */
static bool bring_up(struct ehci *hc, const struct pci_device_info *info)
{
    if (!find_registers(hc, info))
        return false;
    take_over_from_firmware(hc);
    ehci_apply_quirks(info);
    if (!reset(hc) || !alloc_schedules(hc) || !run(hc))
        return false;
    take_ports(hc);
    return true;
}

/* Undoes what bring_up() has done. The ports stay with the companions, as after a reset. */
static void leave(struct ehci *hc)
{
    pci_set_command(hc->controller.pci, 0, PCI_COMMAND_MASTER);
    usb_pool_destroy(&hc->pool);
    usb_free_page((void *)hc->frames);
    if (hc->capability != NULL)
        unmap_window((const void *)hc->capability);
    kfree(hc);
}

static void start(const struct pci_device_info *info)
{
    if (!ehci_is_usable(info)) {
        klog_warning("EHCI %02x:%02x.%x: this chip does not work; left to its companions",
                     pci_bus(info->address), pci_device(info->address),
                     pci_function(info->address));
        return;
    }
    struct ehci *hc = kcalloc(1, sizeof(*hc));
    if (hc == NULL) {
        klog_warning("EHCI: no memory for a controller");
        return;
    }
    hc->controller.kind = "EHCI";
    hc->controller.pci = info->address;
    hc->controller.ops = &ehci_ops;
    ksnprintf(hc->name, sizeof(hc->name), "EHCI %02x:%02x.%x", pci_bus(info->address),
              pci_device(info->address), pci_function(info->address));
    if (!bring_up(hc, info)) {
        leave(hc);
        return;
    }
    klog("%s: %u port%s, %u companion%s", hc->name, hc->controller.ports,
         hc->controller.ports == 1 ? "" : "s", hc->companions, hc->companions == 1 ? "" : "s");
    if (!usb_register_controller(&hc->controller)) {
        reset(hc); /* it reaches no memory any more, and the companions have the ports */
        leave(hc);
    }
}

void ehci_start(void)
{
    const struct pci_device_info *info;

    for (uint32_t i = 0; (info = pci_get(i)) != NULL; i++) {
        if (info->class == PCI_SERIAL_BUS && info->subclass == PCI_USB &&
            info->interface == PCI_EHCI)
            start(info);
    }
}
