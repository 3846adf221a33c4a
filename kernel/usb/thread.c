/*
 * The thread "usb", the poll in each tick, and what else the core asks of the system.
 *
 * The tree of devices is guarded by a mutex that the thread holds for a step. Transfers are
 * guarded by interrupts off.
 */
#include "../mem/layout.h"
#include <usb/usb.h>
#include <usb/system.h>
#include <drivers/pci.h>
#include <drivers/timer.h>
#include <lib/string.h>
#include <log.h>
#include <mem/pmm.h>
#include <sched/sched.h>
#include <sched/sync.h>
#include <sched/thread.h>
#include <x86/io.h>

#define PCI_CLASS_SERIAL_BUS 0x0c
#define PCI_SUBCLASS_USB     0x03

#define STEP_MS              100u /* between two looks at the root ports */
#define SETTLING_STEP_MS     20u
#define FIRST_LOOK_MS        120u /* a port that has got power shows what is plugged in */
#define INIT_TIMEOUT_MS      5000u

/* How usb_wait() looks: often at first, then once in a tick. */
#define LOOK_US              20u
#define OFTEN_US             3000u

static struct mutex tree = MUTEX_INITIALIZER(tree);
static struct wait_queue step_waits = { LIST_INITIALIZER(step_waits.threads) };
static struct wait_queue init_waits = { LIST_INITIALIZER(init_waits.threads) };
static bool step_wanted; /* guarded by interrupts off, like the queues */
static bool first_look_done;

/* ---- What the core asks for ---- */

uint32_t usb_lock(void)
{
    return interrupts_save();
}

void usb_unlock(uint32_t state)
{
    interrupts_restore(state);
}

void usb_sleep(uint32_t ms)
{
    thread_sleep(ms);
}

uint64_t usb_now_ms(void)
{
    return timer_uptime_ms();
}

void usb_wake(void)
{
    uint32_t flags = interrupts_save();
    step_wanted = true;
    wait_queue_wake_all(&step_waits);
    interrupts_restore(flags);
}

void *usb_alloc_page(void)
{
    paddr_t frame = pmm_alloc_frame_for(FRAME_DRIVERS);
    if (frame == 0)
        return NULL;
    return memset((void *)(vaddr_t)frame, 0, PAGE_SIZE);
}

void usb_free_page(void *page)
{
    if (page != NULL)
        pmm_free_frame_of(FRAME_DRIVERS, usb_phys(page));
}

static bool look(bool (*ready)(void *arg), void *arg)
{
    uint32_t flags = interrupts_save();
    usb_core_tick();
    bool is_ready = ready(arg);
    interrupts_restore(flags);
    return is_ready;
}

/* The time is counted here, not read: the bound holds where a clock stands still. */
bool usb_wait(bool (*ready)(void *arg), void *arg, uint32_t ms)
{
    uint32_t waited_us = 0;

    while (!look(ready, arg)) {
        if (waited_us >= ms * 1000)
            return false;
        if (waited_us < OFTEN_US) {
            timer_busy_wait_us(LOOK_US);
            waited_us += LOOK_US;
        } else {
            thread_sleep(TIMER_TICK_MS);
            waited_us += TIMER_TICK_MS * 1000;
        }
    }
    return true;
}

/* ---- The thread ---- */

static void poll(void *arg UNUSED)
{
    usb_core_tick();
}

static bool is_controller(const struct pci_device_info *info)
{
    return info->class == PCI_CLASS_SERIAL_BUS && info->subclass == PCI_SUBCLASS_USB;
}

/* Firmware may have put those to sleep that it did not need itself: they have no registers then. */
static void wake_controllers(void)
{
    const struct pci_device_info *info;

    for (uint32_t i = 0; (info = pci_get(i)) != NULL; i++) {
        if (is_controller(info))
            pci_wake(info->address);
    }
}

/* In an order that matters: EHCI decides what its companions get. */
static void start_controllers(void)
{
    wake_controllers();
    xhci_start();
    ehci_start();
    ohci_start();
    uhci_start();
}

static void wait_for_step(uint32_t ms)
{
    uint32_t flags = interrupts_save();
    if (!step_wanted)
        wait_queue_wait(&step_waits, WAIT_UNINTERRUPTIBLE, ms);
    step_wanted = false;
    interrupts_restore(flags);
}

static bool take_step(void)
{
    mutex_lock(&tree);
    bool settled = usb_core_step();
    mutex_unlock(&tree);
    return settled;
}

static void end_first_look(void)
{
    uint32_t flags = interrupts_save();
    first_look_done = true;
    wait_queue_wake_all(&init_waits);
    interrupts_restore(flags);
}

static int usb_thread(void *arg UNUSED)
{
    static struct timer_poll entry = { .poll = poll };

    start_controllers();
    if (usb_core_controller(0) == NULL) {
        end_first_look();
        return 0;
    }
    timer_add_poll(&entry);
    uint64_t started_ms = timer_uptime_ms();
    for (;;) {
        bool settled = take_step();
        if (settled && !first_look_done && timer_uptime_ms() - started_ms >= FIRST_LOOK_MS)
            end_first_look();
        wait_for_step(settled && first_look_done ? STEP_MS : SETTLING_STEP_MS);
    }
}

static bool has_controllers(void)
{
    const struct pci_device_info *info;

    for (uint32_t i = 0; (info = pci_get(i)) != NULL; i++) {
        if (is_controller(info))
            return true;
    }
    return false;
}

void usb_init(void)
{
    if (!has_controllers())
        return;
    struct thread *thread = thread_create("usb", usb_thread, NULL);
    if (thread == NULL) {
        klog_warning("USB: no memory for its thread");
        return;
    }
    thread_detach(thread);

    uint32_t flags = interrupts_save();
    if (!first_look_done)
        wait_queue_wait(&init_waits, WAIT_UNINTERRUPTIBLE, INIT_TIMEOUT_MS);
    bool done = first_look_done;
    interrupts_restore(flags);
    if (!done)
        klog_warning("USB: a device takes long; going on without it");
}

/* ---- Listings ---- */

struct usb_controller *usb_controller_get(uint32_t index)
{
    return usb_core_controller(index);
}

bool usb_device_get(const struct usb_controller *controller, uint32_t index,
                    struct usb_device_info *info)
{
    mutex_lock(&tree);
    const struct usb_device *device = usb_core_device(controller, index);
    if (device != NULL) {
        const struct usb_device_core *core = device->core;
        *info = (struct usb_device_info){
            .depth = device->depth,
            .port = device->port,
            .root_port = device->root_port,
            .speed = device->speed,
            .address = device->address,
            .descriptor = core->descriptor,
            .class = core->interface.class,
            .driver = core->driver != NULL ? core->driver->name : NULL,
            .hub_ports = core->hub != NULL ? device->hub_ports : 0,
        };
        strcopy(info->manufacturer, core->manufacturer, sizeof(info->manufacturer));
        strcopy(info->product, core->product, sizeof(info->product));
    }
    mutex_unlock(&tree);
    return device != NULL;
}
