"""The page tables as the CPU sees them, read out of the machine's memory from outside."""
import re
import struct
from pathlib import Path

PRESENT, WRITABLE, LARGE = 1, 2, 0x80
PAGE = 4096


def read_physical(machine, address, size):
    """Bytes of physical memory."""
    path = f"{machine.folder.name}/memory"
    machine.qmp("pmemsave", val=address, size=size, filename=path)
    return Path(path).read_bytes()


def _entries(machine, table):
    return struct.unpack("<1024I", read_physical(machine, table, PAGE))


def mappings(machine, start, end):
    """(virtual, physical, writable) of each 4 KiB page mapped in [start, end), in order."""
    directory = _entries(machine, int(re.search(r"CR3=([0-9a-f]+)", machine.registers())[1], 16))
    pages = []
    for number in range(start >> 22, (end - 1 >> 22) + 1):
        if not directory[number] & PRESENT:
            continue
        assert not directory[number] & LARGE, "RAM is mapped by 4 KiB pages only"
        for i, entry in enumerate(_entries(machine, directory[number] & -PAGE)):
            virtual = (number << 22) + (i << 12)
            if entry & PRESENT and start <= virtual < end:
                writable = bool(entry & directory[number] & WRITABLE)
                pages.append((virtual, entry & -PAGE, writable))
    return pages
