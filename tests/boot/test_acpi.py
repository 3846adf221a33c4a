"""ACPI: what the kernel reads out of firmware's tables, and that it leaves by what they say.

QEMU's log of every port that is written shows which way the machine went. Tables of a test's own come
to the kernel as QEMU's do (acpi.py).
"""
import re
from pathlib import Path

import pytest

from acpi import (Firmware, MEMORY, PCI, PM1A, REDUCED_FLAG, RESET_PORT, SMI_COMMAND, fadt, s5,
                  table)

OFF = {"guest": True, "reason": "guest-shutdown"}
RESET = {"guest": True, "reason": "guest-reset"}
CANNOT = "This machine cannot be switched off by RoninOS; it may be switched off now."

KEYBOARD = 0x64
PM1A_BOCHS = 0xb004                     # the second of the old ways
ACPI_MODE, SLEEP = 1, 1 << 13           # SCI_EN, SLP_EN
KEYBOARD_RESET = 0xfe


class Ports:
    """QEMU's log of what the kernel writes to its ports."""

    def __init__(self, folder):
        self.log = Path(folder) / "trace"
        self.options = ["-D", str(self.log)]

    def watch(self, machine):
        machine.qmp("trace-event-set-state", name="memory_region_ops_write", enable=True)

    def written(self, *ports):
        """Writes to these ports, in their order: (port, value)."""
        writes = re.findall(r"ops_write.* addr 0x(\w+) value 0x(\w+) ", self.log.read_text())
        return [(int(port, 16), int(value, 16)) for port, value in writes if int(port, 16) in ports]


@pytest.fixture
def ports(tmp_path):
    return Ports(tmp_path)


def acpi_line(lines):
    found = [line for line in lines if line.startswith("ACPI:")]
    assert len(found) == 1, found
    return found[0]


# ---- QEMU's tables -----------------------------------------------------------------------------

@pytest.mark.quick
@pytest.mark.parametrize("chipset, reset", [("pc", "no (no register)"), ("q35", "0x0f to port 0xcf9")])
def test_poweroff_goes_by_the_tables(start, ports, chipset, reset):
    """Into ACPI mode first, which QEMU is not in; the fallbacks do not keep the bit that says so."""
    machine = start(machine=chipset, extra=ports.options)
    lines = machine.prompt()
    assert acpi_line(lines) == f"ACPI: revision 0, poweroff: S5 0,0 at port 0x604, reset: {reset}"
    ports.watch(machine)
    machine.send("poweroff\r")
    assert machine.wait_event("SHUTDOWN") == OFF
    assert machine.wait_exit() == 0
    writes = ports.written(SMI_COMMAND, PM1A, PM1A_BOCHS)
    assert [port for port, _ in writes] == [SMI_COMMAND, PM1A, PM1A]
    assert [value for _, value in writes[1:]] == [ACPI_MODE, ACPI_MODE | SLEEP]


@pytest.mark.quick
def test_reset_register(start, ports):
    machine = start(machine="q35", extra=ports.options)
    machine.prompt()
    ports.watch(machine)
    machine.send("reboot\r")
    assert machine.wait_event("RESET") == RESET
    assert ports.written(RESET_PORT, KEYBOARD)[0] == (RESET_PORT, 0x0f)
    machine.prompt()


@pytest.mark.quick
def test_without_acpi_the_old_ways_remain(start, ports):
    """A pc that has neither the tables nor the device behind them."""
    machine = start(machine="pc,acpi=off", extra=ports.options)
    assert acpi_line(machine.prompt()) == "ACPI: none"
    ports.watch(machine)
    assert machine.command("poweroff") == [CANNOT]
    assert ports.written(PM1A, PM1A_BOCHS) == [(PM1A, SLEEP), (PM1A_BOCHS, SLEEP)]
    machine.send("reboot\r")
    assert machine.wait_event("RESET") == RESET
    assert ports.written(RESET_PORT, KEYBOARD)[-1] == (KEYBOARD, KEYBOARD_RESET)
    machine.prompt()


# ---- Tables of our own -------------------------------------------------------------------------

@pytest.fixture
def firmware(tmp_path):
    return Firmware(tmp_path)


def boot_with(start, options, ports):
    machine = start(machine="q35,acpi=off", extra=options + ports.options)
    line = acpi_line(machine.prompt())
    ports.watch(machine)
    return machine, line


@pytest.mark.quick
def test_sleep_type_of_the_dsdt_is_written(start, firmware, ports):
    """Type 2 is a q35's suspend to disk, which switches QEMU off too; types 0 and 1 are others."""
    options = firmware.options(fadt(), table(b"DSDT", s5(2, 6)))
    machine, line = boot_with(start, options, ports)
    assert "poweroff: S5 2,6 at port 0x604, reset: 0x0f to port 0xcf9" in line
    machine.send("poweroff\r")
    assert machine.wait_event("SHUTDOWN") == OFF
    assert machine.wait_exit() == 0
    assert ports.written(PM1A)[-1] == (PM1A, ACPI_MODE | SLEEP | 2 << 10)


@pytest.mark.quick
@pytest.mark.parametrize("xsdt, revision", [(False, 0), (True, 2)], ids=["RSDT", "XSDT"])
def test_s5_in_an_ssdt(start, firmware, ports, xsdt, revision):
    others = [table(b"JUNK", b"x" * 100), table(b"SSDT", b"none here"), table(b"SSDT", s5(2, 0))]
    options = firmware.options(fadt(), table(b"DSDT", b""), others, xsdt=xsdt)
    machine, line = boot_with(start, options, ports)
    assert f"revision {revision}, poweroff: S5 2,0 at port 0x604" in line
    machine.send("poweroff\r")
    assert machine.wait_event("SHUTDOWN") == OFF


@pytest.mark.quick
@pytest.mark.parametrize("reset, said", [
    ((PCI, 0x1f << 32 | 0x42, 0x81), "0x81 to PCI 0x1f00000042"), # a byte inside a word
    ((MEMORY, 0xb9f00, 0x5a), "0x5a to memory 0xb9f00"),   # the graphics card's, out of sight
], ids=["PCI", "memory"])
def test_other_reset_registers_are_written(start, firmware, ports, reset, said):
    """Registers that reset nothing: they are written, and the keyboard controller comes after."""
    options = firmware.options(fadt(reset=reset), table(b"DSDT", s5(0, 0)))
    machine, line = boot_with(start, options, ports)
    assert line.endswith(f"reset: {said}")
    machine.send("reboot\r")
    assert machine.wait_event("RESET") == RESET
    wanted = (0xcfc + reset[1] % 4, reset[2]) if reset[0] == PCI else (reset[1], reset[2])
    writes = ports.written(wanted[0], KEYBOARD)
    assert writes[:2] == [wanted, (KEYBOARD, KEYBOARD_RESET)]
    machine.prompt()


@pytest.mark.quick
@pytest.mark.parametrize("dsdt, fields, sound, said", [
    (table(b"DSDT", b"\x08_S5_\x12\x3f\x04"), {}, True, "no (no S5)"),
    (table(b"DSDT", s5(5, 5)), {}, False, "no (no sound DSDT)"),
    (table(b"DSDT", s5(5, 5)), {"flags": REDUCED_FLAG}, True, "no (reduced hardware)"),
    (table(b"DSDT", s5(5, 5)), {"pm1a": 0x12345678}, True, "no (no PM1 control port)"),
    (table(b"DSDT", s5(5, 5)), {"reset": (7, 0xfffffffffffffff8, 1)}, True, "reset: no (unknown"),
    (table(b"DSDT", s5(5, 5)), {"reset": (MEMORY, 0xfffffffffffffff8, 1)}, True, "reset: no (reg"),
    (table(b"DSDT", s5(5, 5)), {"smi": (0x80, 1)}, True, "S5 5,5"),
], ids=["no-s5", "bad-checksum", "reduced", "no-port", "reset-space", "reset-address", "no-mode"])
def test_useless_tables_are_survived(start, firmware, ports, dsdt, fields, sound, said):
    """The kernel says what is wrong and comes up; poweroff falls back to the old ports."""
    machine, line = boot_with(start, firmware.options(fadt(**fields), dsdt, sound=sound), ports)
    assert said in line
    assert machine.command("heap_test")[-1] == "heap_test: PASS"
    machine.send("poweroff\r")
    assert machine.wait_event("SHUTDOWN") == OFF
    assert machine.wait_exit() == 0
    assert ports.written(PM1A)[-1] == (PM1A, SLEEP)
