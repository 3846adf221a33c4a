/*
 * EHCI controllers that need a bit in configuration space set, or do not work at all.
 *
 * Facts from the drivers of Linux and the BSDs. AMD's empty entries of the frame list are not
 * here: no frame's list is ever empty (ehci_schedule.h).
 */
#include "ehci.h"
#include <drivers/pci.h>

#define AMD             0x1022
#define AMD_8111        0x7463
#define VIA             0x1106
#define VIA_USB2        0x3104 /* VT6202, VT6212 and those of south bridges, by revision */
#define ATI             0x1002
#define ATI_SB600       0x4386
#define ATI_SB700       0x4396
#define ATI_SMBUS       0x4385 /* whose revision tells which south bridge it is */

#define VT6212_REVISION 0x60u /* the upper half */
#define VIA_SLEEP       0x4bu
#define VIA_SLEEP_10_US (1u << 5)
#define ATI_MISC        0x53u
#define ATI_MISC_FIX    (1u << 3)

static void set_bits(const struct pci_device_info *info, uint32_t offset, uint32_t bits)
{
    uint32_t value = pci_read(info->address, offset & ~3u) >> offset % 4 * 8;

    pci_write_byte(info->address, offset, (uint8_t)(value | bits));
}

static uint32_t revision_of(const struct pci_device_info *info)
{
    return pci_read(info->address, PCI_CLASS) & 0xff;
}

/* SB600, and SB700 in its first two steppings, at times do not answer a device any more. */
static bool is_early_sb(const struct pci_device_info *info)
{
    const struct pci_device_info *smbus;

    if (info->vendor != ATI || (info->device != ATI_SB600 && info->device != ATI_SB700))
        return false;
    for (uint32_t i = 0; (smbus = pci_get(i)) != NULL; i++) {
        if (smbus->vendor != ATI || smbus->device != ATI_SMBUS)
            continue;
        uint32_t revision = revision_of(smbus);
        return info->device == ATI_SB600 || revision == 0x3a || revision == 0x3b;
    }
    return false;
}

bool ehci_is_usable(const struct pci_device_info *info)
{
    return info->vendor != AMD || info->device != AMD_8111;
}

void ehci_apply_quirks(const struct pci_device_info *info)
{
    /* It looks at an idle asynchronous schedule every microsecond, which fills the PCI bus. */
    if (info->vendor == VIA && info->device == VIA_USB2 &&
        (revision_of(info) & 0xf0) == VT6212_REVISION)
        set_bits(info, VIA_SLEEP, VIA_SLEEP_10_US);
    if (is_early_sb(info))
        set_bits(info, ATI_MISC, ATI_MISC_FIX);
}
