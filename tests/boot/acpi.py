"""Tables of a test's own for the kernel to find: by fw_cfg, from where SeaBIOS puts them into memory."""
import struct
from pathlib import Path

PM1A, SMI_COMMAND, RESET_PORT = 0x604, 0xb2, 0xcf9

HEADER = 36
FADT_SIZE = 276
RESET_FLAG, REDUCED_FLAG = 1 << 10, 1 << 20
IO, MEMORY, PCI = 1, 0, 2


def table(signature, content, revision=1):
    """A table without its checksum, which SeaBIOS fills in."""
    return struct.pack("<4sIBB6s8sI4sI", signature, HEADER + len(content), revision, 0, b"RONIN ",
                       b"TESTTEST", 1, b"TEST", 1) + content


def fadt(pm1a=PM1A, flags=RESET_FLAG, reset=(IO, RESET_PORT, 0x0f), smi=(SMI_COMMAND, 2)):
    body = bytearray(FADT_SIZE)
    struct.pack_into("<IB", body, 48, *smi)
    struct.pack_into("<I", body, 64, pm1a)
    struct.pack_into("<I", body, 112, flags)
    struct.pack_into("<BBBBQB", body, 116, reset[0], 8, 0, 1, reset[1], reset[2])
    return table(b"FACP", bytes(body[HEADER:]), 5)


def madt(*entries, lapic=0xfee00000, flags=1):
    return table(b"APIC", struct.pack("<II", lapic, flags) + b"".join(entries), 3)


def ioapic(address=0xfec00000, first_input=0):
    return struct.pack("<BBBBII", 1, 12, 0, 0, address, first_input)


def override(line, gsi, flags=0):
    """ISA line to input of the I/O APICs."""
    return struct.pack("<BBBBIH", 2, 10, 0, line, gsi, flags)


def hpet(address=0xfed00000, space=MEMORY):
    return table(b"HPET", struct.pack("<IBBBBQBHB", 0x8086a201, space, 64, 0, 0, address, 0, 0x80, 0))


def s5(a, b):
    return b"\x08_S5_\x12\x06\x02" + bytes([0x0a, a, 0x0a, b])


class Firmware:
    """Tables for SeaBIOS, and the script by which it places them: 128 bytes a step."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.tables = b""
        self.script = b""

    def step(self, number, layout, *values):
        self.script += struct.pack("<I" + layout, number, *values).ljust(128, b"\0")

    def add(self, data, sound=True):
        """Appends a table; returns its offset."""
        at = len(self.tables)
        self.tables += data
        if sound:
            self.step(3, "56sIII", b"tables", at + 9, at, len(data))
        return at

    def pointer(self, file, at, size=4):
        """The number there is an offset into the tables, to become an address."""
        self.step(2, "56s56sIB", file, b"tables", at, size)

    def options(self, fadt_table, dsdt, others=(), sound=True, xsdt=False):
        """What makes QEMU hand them over; by an XSDT alone, or an RSDT."""
        self.step(1, "56sIB", b"tables", 64, 1)
        self.step(1, "56sIB", b"rsdp", 16, 2)
        data = bytearray(fadt_table)
        struct.pack_into("<I", data, 40, self.add(dsdt, sound))
        self.pointer(b"tables", len(self.tables) + 40)
        named = [self.add(bytes(data)), *(self.add(other, sound) for other in others)]
        size, layout, signature = (8, "Q", b"XSDT") if xsdt else (4, "I", b"RSDT")
        for i in range(len(named)):
            self.pointer(b"tables", len(self.tables) + HEADER + size * i, size)
        root = self.add(table(signature, struct.pack(f"<{len(named)}{layout}", *named)))
        rsdp = b"RSD PTR \0RONIN " + struct.pack("<BIIQI", 2 if xsdt else 0, 0 if xsdt else root, 36,
                                                 root if xsdt else 0, 0)
        self.pointer(b"rsdp", 24 if xsdt else 16, size)
        self.step(3, "56sIII", b"rsdp", 8, 0, 20)
        if xsdt:
            self.step(3, "56sIII", b"rsdp", 32, 0, 36)
        options = []
        for name, content in (("rsdp", rsdp), ("tables", self.tables), ("etc/table-loader", self.script)):
            path = self.folder / name.replace("/", "-")
            path.write_bytes(content)
            options += ["-fw_cfg", f"name={name},file={path}"]
        return options
