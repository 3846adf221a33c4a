/*
 * Commands about devices: PCI.
 */
#include <shell/shell.h>
#include <drivers/pci.h>
#include <log.h>
#include <sched/thread.h>

static void print_bar(uint32_t number, const struct pci_bar *bar)
{
    if (bar->kind == PCI_BAR_NONE)
        return;
    kprintf("  BAR%u: %s ", number, bar->kind == PCI_BAR_IO ? "I/O" : "memory");
    if (bar->base != 0)
        kprintf("0x%08llx", bar->base);
    else
        kprintf("without address");
    if (bar->size != 0)
        kprintf(", %llu bytes", bar->size);
    kprintf("%s%s\n", bar->wide ? ", 64-bit" : "", bar->prefetchable ? ", prefetchable" : "");
}

static void print_window(const char *kind, const struct pci_window *window)
{
    if (window->start != window->end)
        kprintf("  window: %s 0x%08llx - 0x%08llx\n", kind, window->start, window->end - 1);
}

static void print_function(const struct pci_device_info *info)
{
    kprintf("%02x:%02x.%x %04x:%04x %s, class %02x%02x.%02x\n", pci_bus(info->address),
            pci_device(info->address), pci_function(info->address), info->vendor, info->device,
            pci_class_name(info->class, info->subclass, info->interface), info->class,
            info->subclass, info->interface);
    if (info->interrupt_pin >= 1 && info->interrupt_pin <= 4)
        kprintf("  interrupt: line %u, pin %c\n", info->interrupt_line,
                'A' + info->interrupt_pin - 1);
    for (uint32_t i = 0; i < PCI_BARS; i++)
        print_bar(i, &info->bars[i]);
    if (info->header != PCI_HEADER_BRIDGE && info->header != PCI_HEADER_CARDBUS)
        return;
    kprintf("  bridge: buses %02x - %02x\n", info->secondary, info->subordinate);
    print_window("I/O", &info->io_window);
    print_window("memory", &info->memory_window);
    print_window("prefetchable", &info->prefetchable_window);
}

SHELL_COMMAND(pci, "pci", "lists the PCI functions, their addresses and windows", "pci")
{
    const struct pci_device_info *info;

    if (argc != 1)
        return SHELL_USAGE;
    if (pci_get(0) == NULL)
        kprintf("no PCI functions\n");
    for (uint32_t i = 0; (info = pci_get(i)) != NULL && !thread_interrupted(); i++)
        print_function(info);
    return SHELL_OK;
}
