/*
 * What the drivers of USB controllers ask of the system, as a test gives it: memory that is
 * counted, a log, PCI's command register, and the core's side of a transfer. The controller itself,
 * time included, is the test's: usb_wait(), usb_sleep() and timer_busy_wait_us() let it work.
 *
 * The functions stand here, and not in a file of the helpers' archive, because other tests have
 * the kernel's own of the same names.
 */
#ifndef TESTS_USB_FAKE_H
#define TESTS_USB_FAKE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mem/layout.h"
#include <drivers/pci.h>
#include <heap.h>
#include <log.h>
#include <usb/core.h>
#include <usb/host.h>
#include <usb/system.h>

#define FAKE_PAGES 16u

struct usb_fake {
    struct pci_device_info function; /* the only one there is */
    uint32_t commands;               /* in its command register */
    uint32_t pages_out, pages_left, blocks_out;
    char log[1024];
    struct usb_controller *registered;
    bool no_room; /* the core has no memory for one more */
    uint32_t done; /* transfers that ended */
    bool again;    /* the next one's callback submits it once more */
};

static struct usb_fake fake;

/* All anew, with memory for a controller. The driver keeps a controller for good; so does this. */
static void fake_reset(uint8_t interface)
{
    static struct usb_controller *kept[64]; /* what is remembered is not leaked */
    static uint32_t count;

    if (fake.registered != NULL)
        kept[count++ % ARRAY_SIZE(kept)] = fake.registered;
    memset(&fake, 0, sizeof(fake));
    fake.function.class = 0x0c;
    fake.function.subclass = 0x03;
    fake.function.interface = interface;
    fake.commands = PCI_COMMAND_MASTER; /* as firmware leaves it */
    fake.pages_left = FAKE_PAGES;
}

/* Whether nothing of memory is taken and the controller does not master the bus. */
static bool fake_is_clean(void)
{
    return fake.pages_out == 0 && fake.blocks_out == 0 && fake.registered == NULL &&
           !(fake.commands & PCI_COMMAND_MASTER);
}

uint32_t usb_lock(void)
{
    return 0;
}

void usb_unlock(uint32_t state)
{
    (void)state;
}

void *usb_alloc_page(void)
{
    if (fake.pages_left == 0)
        return NULL;
    fake.pages_left--;
    fake.pages_out++;
    return memset(aligned_alloc(PAGE_SIZE, PAGE_SIZE), 0, PAGE_SIZE);
}

void usb_free_page(void *page)
{
    fake.pages_out -= page != NULL;
    free(page);
}

void *kcalloc(size_t count, size_t size)
{
    fake.blocks_out++;
    return calloc(count, size);
}

void kfree(void *block)
{
    fake.blocks_out -= block != NULL;
    free(block);
}

const struct pci_device_info *pci_get(uint32_t index)
{
    return index == 0 ? &fake.function : NULL;
}

void pci_set_command(pci_address_t address, uint32_t set, uint32_t clear)
{
    (void)address;
    fake.commands = (fake.commands & ~clear) | set;
}

void klog_warning(const char *format, ...)
{
    va_list args;
    size_t used = strlen(fake.log);

    va_start(args, format);
    vsnprintf(fake.log + used, sizeof(fake.log) - used, format, args);
    va_end(args);
}

void kprintf(const char *format, ...)
{
    (void)format;
}

bool usb_register_controller(struct usb_controller *controller)
{
    if (fake.no_room)
        return false;
    fake.registered = controller;
    return true;
}

void usb_transfer_done(struct usb_transfer *transfer, enum usb_status status, uint16_t actual)
{
    transfer->status = status;
    transfer->actual = actual;
    fake.done++;
    if (fake.again) {
        fake.again = false;
        if (!transfer->endpoint->device->controller->ops->submit(transfer))
            abort();
    }
}

bool usb_request(struct usb_device *device, uint8_t type, uint8_t request, uint16_t value,
                 uint16_t index, void *data, uint16_t length)
{
    (void)type, (void)index, (void)data, (void)length;
    return request == USB_SET_ADDRESS && value == device->address;
}

#endif
