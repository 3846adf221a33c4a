"""What ticks, what measures, and by which way interrupts come.

Under -icount a machine's time passes by the instructions that it runs, whatever the host does: the
TSC then is an exact clock of nanoseconds that the kernel's own waits are compared with. The screen
is left alone there: its thread would run in the midst of a wait, and make it longer.
"""
import re
import subprocess

import pytest

import images
from acpi import Firmware, fadt, hpet, ioapic, madt, override, s5, table

DEBUG_EXIT = ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
PASSED = 1
SERIAL = "console=serial"
CYCLES_PER_MS = 1000000     # the virtual TSC counts nanoseconds


def icount(shift=3):
    """An instruction takes 2^shift ns; the real-time clock goes by the same time."""
    return ["-icount", f"shift={shift},sleep=off", "-rtc", "clock=vm"]


def timer_line(lines):
    found = [line for line in lines if line.startswith("interrupts:")]
    assert len(found) == 1, lines
    return re.sub(r" at \d+ Hz$", "", found[0])     # a measured frequency differs from run to run


def said(route, tick, clock):
    return f"interrupts: {route}, timer: {tick}, clock: {clock}"


PIT = "PIT at 100 Hz", "PIT"
LAPIC = "LAPIC timer at 100 Hz"
PM_TIMER = LAPIC, "ACPI PM timer"


def start_with(start, word, options):
    machine = start(images.make_image(word) if word else None, **options)
    return machine, timer_line(machine.prompt())


def assert_keyboard_and_com1(machine):
    machine.type("echo By Hand\n")
    assert machine.prompt() == ["echo By Hand", "By Hand"]
    assert machine.command("sleep 0.05") == []


# ---- What comes up where -----------------------------------------------------------------------

@pytest.mark.parametrize("word, options, route, what", [
    pytest.param("", {}, "PIC", PIT, marks=pytest.mark.quick, id="default"),
    pytest.param("pit=off", {}, "I/O APIC", PM_TIMER, marks=pytest.mark.full, id="word"),
    pytest.param("pit=off", {"machine": "q35"}, "I/O APIC", PM_TIMER, marks=pytest.mark.quick,
                 id="word-q35"),
    pytest.param("", {"machine": "q35,pit=off"}, "I/O APIC", PM_TIMER, marks=pytest.mark.quick,
                 id="no-pit"),
    pytest.param("", {"machine": "q35,pic=off"}, "I/O APIC", PIT, marks=pytest.mark.quick,
                 id="no-pic"),
    pytest.param("", {"machine": "pc,pic=off"}, "I/O APIC", PIT, marks=pytest.mark.full,
                 id="no-pic-pc"),
    pytest.param("", {"machine": "q35,pic=off,pit=off"}, "I/O APIC", PM_TIMER,
                 marks=pytest.mark.full, id="neither"),
    pytest.param("", {"machine": "pc,acpi=off"}, "PIC", PIT, marks=pytest.mark.full, id="no-acpi"),
    pytest.param("pit=off", {"machine": "pc,acpi=off"}, "PIC", (LAPIC, "TSC"),
                 marks=pytest.mark.full, id="word-no-acpi"),
    pytest.param("pit=off", {"machine": "pc,hpet=off"}, "I/O APIC", PM_TIMER,
                 marks=pytest.mark.full, id="word-no-hpet"),
    pytest.param("pit=off", {"cpu": "pentium"}, "I/O APIC", PM_TIMER, marks=pytest.mark.full,
                 id="word-pentium"),
    pytest.param("pit=off", {"cpu": "max"}, "I/O APIC", PM_TIMER, marks=pytest.mark.full,
                 id="word-max"),
    pytest.param("pit=off", {"firmware": "uefi"}, "I/O APIC", PM_TIMER, marks=pytest.mark.quick,
                 id="word-uefi"),
    pytest.param("pit=off", {"firmware": "uefi32"}, "I/O APIC", PM_TIMER, marks=pytest.mark.full,
                 id="word-uefi32"),
    pytest.param("", {"firmware": "uefi"}, "PIC", PIT, marks=pytest.mark.full, id="uefi"),
    pytest.param("", {"firmware": "uefi32"}, "PIC", PIT, marks=pytest.mark.full, id="uefi32"),
])
def test_ticks_keyboard_and_com1_come(start, word, options, route, what):
    machine, line = start_with(start, word, options)
    assert line == said(route, *what)
    assert_keyboard_and_com1(machine)


@pytest.mark.quick
def test_without_any_tick_the_idle_thread_stands_in(start):
    """A 486 has no APIC. Sleeping ends all the same, and waits are measured."""
    machine, line = start_with(start, "pit=off", {"cpu": "486"})
    assert line == said("PIC", "nothing ticks", "ACPI PM timer")
    assert_keyboard_and_com1(machine)
    assert machine.command("sleep 1") == []
    assert re.match(r"up 0:00:0[1-9]", machine.one_line("uptime"))


@pytest.mark.quick
def test_without_any_clock_waits_are_guessed(start):
    machine, line = start_with(start, "pit=off", {"cpu": "486", "machine": "pc,acpi=off"})
    assert line == "interrupts: PIC, timer: nothing ticks, clock: nothing counts"
    assert_keyboard_and_com1(machine)
    assert "guessed" in machine.command("timer 1")[0]


@pytest.mark.parametrize("chipset", [pytest.param("q35", marks=pytest.mark.quick),
                                     pytest.param("pc", marks=pytest.mark.full),
                                     pytest.param("q35,pic=off", marks=pytest.mark.full)])
def test_selftest_passes_without_the_pit(start, chipset):
    """Preemption, sleeping and clocks among the tests inside the kernel."""
    machine = start(images.make_image("selftest pit=off"), machine=chipset, extra=DEBUG_EXIT)
    totals = machine.wait_for(re.compile(rb"(\d+) passed, (\d+) failed\r\n"), timeout=300)
    assert int(totals[1]) > 0 and int(totals[2]) == 0
    assert machine.wait_exit() == PASSED


# ---- Exact time --------------------------------------------------------------------------------

def assert_time_is_right(machine):
    """Within 1 % by the TSC, with interrupts on and off; a second has 100 ticks."""
    slack = 1.01 if images.ORDINARY else 1.02       # a variant may take many times as long for a step
    for ms in (1, 10, 100):
        for line in machine.command(f"timer {ms}"):
            cycles = int(re.search(r"measured: (\d+) cycles", line)[1])
            assert ms * CYCLES_PER_MS <= cycles <= ms * CYCLES_PER_MS * slack, line
    ticks = int(re.search(r"(\d+) ticks", machine.command("timer 1000")[0])[1])
    assert 99 <= ticks <= 101


@pytest.mark.parametrize("word, options, what", [
    pytest.param("", {}, PIT, marks=pytest.mark.quick, id="PIT"),
    pytest.param("", {"machine": "q35,pic=off"}, PIT, marks=pytest.mark.full, id="PIT-IOAPIC"),
    pytest.param("pit=off", {"machine": "q35"}, PM_TIMER, marks=pytest.mark.quick, id="PM-timer"),
    pytest.param("pit=off", {"firmware": "uefi"}, PM_TIMER, marks=pytest.mark.full, id="UEFI"),
])
def test_waits_and_ticks_are_right(start, word, options, what):
    machine, line = start_with(start, f"{SERIAL} {word}", {**options, "extra": icount()})
    assert line.endswith("timer: {}, clock: {}".format(*what))
    assert_time_is_right(machine)


@pytest.mark.quick
def test_waits_are_right_by_the_hpet(start, tmp_path):
    """Tables that name it and no PM timer."""
    tables = Firmware(tmp_path).options(fadt(), table(b"DSDT", s5(0, 0)), [madt(), hpet()])
    machine, line = start_with(start, f"{SERIAL} pit=off", {"machine": "q35,acpi=off",
                                                            "extra": tables + icount()})
    assert line == said("PIC", LAPIC, "HPET")
    assert_time_is_right(machine)


@pytest.mark.full
def test_waits_are_right_by_the_real_time_clock(start):
    """No table names a clock: the real-time clock's second measures the TSC."""
    machine, line = start_with(start, f"{SERIAL} pit=off", {"machine": "pc,acpi=off",
                                                            "extra": icount(4)})
    assert line == said("PIC", LAPIC, "TSC")
    assert_time_is_right(machine)


# ---- What firmware may leave behind ------------------------------------------------------------

@pytest.mark.parametrize("lines, what", [
    pytest.param([override(0, 2)], PIT, marks=pytest.mark.quick, id="override"),
    pytest.param([], PM_TIMER[:1] + ("PIT",), marks=pytest.mark.full, id="none"),
    pytest.param([override(0, 2), override(0, 0x12345678)], PM_TIMER[:1] + ("PIT",),
                 marks=pytest.mark.full, id="wild"),
])
def test_overrides_of_the_madt_are_followed(start, tmp_path, lines, what):
    """Without a PIC, the PIT's interrupt is at input 2 of the I/O APIC; else the LAPIC has to tick."""
    tables = Firmware(tmp_path).options(fadt(), table(b"DSDT", s5(0, 0)),
                                        [madt(ioapic(), *lines)])
    machine, line = start_with(start, "", {"machine": "q35,acpi=off,pic=off", "extra": tables})
    if what == PIT:
        assert line == said("I/O APIC", *what)
    else:
        assert line.startswith(f"interrupts: I/O APIC, timer: {LAPIC}, clock: ")
    assert_keyboard_and_com1(machine)


@pytest.mark.quick
@pytest.mark.parametrize("entries", [
    [ioapic(0xfe000000), override(0, 2)],           # nothing there
    [ioapic(0xfec00000, 0xfffffff8), override(0, 2)],
    [b"\x01\x00" * 20],
    [hpet()],
], ids=["empty", "inputs", "endless", "nonsense"])
def test_hostile_tables_are_survived(start, tmp_path, entries):
    others = [madt(*entries, lapic=0xfffff000), hpet(0xfffffffffffff000)]
    tables = Firmware(tmp_path).options(fadt(), table(b"DSDT", s5(0, 0)), others)
    machine, line = start_with(start, "pit=off", {"machine": "q35,acpi=off", "extra": tables})
    assert f"timer: {LAPIC}, clock: TSC" in line
    assert machine.command("sleep 0.05") == []


def monitor(machine, command):
    return machine.qmp("human-monitor-command", **{"command-line": command})


def local_apic(machine):
    return monitor(machine, "info lapic")


def store(address, value):
    """The instruction that writes a word to memory."""
    return [b"\xc7\x05" + address.to_bytes(4, "little") + value.to_bytes(4, "little")]


def out(port, value):
    """Those that write a byte to a port."""
    return [bytes([0xb0, value]), bytes([0xe6, port])]


def start_after(start, folder, *groups, **options):
    """A machine whose CPU runs instructions, made to by a debugger, before the kernel's first.

    Only the CPU itself reaches its local APIC.
    """
    server = folder / "gdb"
    extra = ["-S", "-gdb", f"unix:{server},server=on,wait=off", *options.pop("extra", [])]
    machine = start(options.pop("image", None), extra=extra, **options)
    instructions = sum(groups, [])
    (folder / "code").write_bytes(b"".join(instructions))
    subprocess.run(["gdb", "-q", "-batch", images.BUILD / "roninos.elf",
                    "-ex", "set architecture i386", "-ex", f"target remote {server}",
                    "-ex", "hbreak *start", "-ex", "continue",
                    "-ex", "set $there = $eip", "-ex", "set $magic = $eax",
                    "-ex", f"restore {folder / 'code'} binary {CODE}", "-ex", f"set $eip = {CODE}",
                    "-ex", f"stepi {len(instructions)}",
                    "-ex", "set $eax = $magic", "-ex", "set $eip = $there",
                    "-ex", "delete", "-ex", "detach"],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120, check=True)
    return machine


CODE = 0x600                                    # RAM that neither GRUB nor the kernel needs
LINT0, MASKED_EXTINT = 0xfee00350, 0x10700
REQUEST, TO_ITSELF = 0xfee00300, 0x44000        # the local APIC's interrupt command
SELECT, DATA = 0xfec00000, 0xfec00010           # the I/O APIC's registers; entries from 0x10 on
EXTINT, LEVEL = 7 << 8, 1 << 15
HPET_CONFIGURATION, HPET_TIMER_0, HPET_COMPARATOR_0 = 0xfed00010, 0xfed00100, 0xfed00108
HPET_ON, HPET_LEGACY = 1, 2


@pytest.mark.quick
def test_masked_lint0_is_opened(start, tmp_path):
    """As some UEFI firmware leaves it."""
    machine = start_after(start, tmp_path, store(LINT0, MASKED_EXTINT))
    assert timer_line(machine.prompt()) == said("PIC", *PIT)
    assert re.search(r"LVT0\s+0x00000700", local_apic(machine))
    assert_keyboard_and_com1(machine)


@pytest.mark.quick
@pytest.mark.parametrize("word, what", [("", ("PIC", *PIT)), ("pit=off", ("I/O APIC", *PM_TIMER))],
                         ids=["PIC", "IOAPIC"])
def test_interrupts_left_pending_are_ended(start, tmp_path, word, what):
    """One that is never ended would hold up all below it: lines 0 and 1, the LAPIC's timer."""
    requests = [store(REQUEST, TO_ITSELF | vector) for vector in (0x20, 0x24, 0x60, 0xf0)]
    machine = start_after(start, tmp_path, *requests, machine="q35",
                          image=images.make_image(word) if word else None)
    assert timer_line(machine.prompt()) == said(*what)
    assert_keyboard_and_com1(machine)
    assert not re.search(r"ISR\s+\d", local_apic(machine))


@pytest.mark.quick
def test_entries_left_open_are_masked(start, tmp_path):
    """Firmware's vectors for the PIT's input, and COM1's, level triggered. The PIC's way stays."""
    entries = [store(SELECT, number) + store(DATA, value)
               for number, value in ((0x10, EXTINT), (0x14, 0x55), (0x18, LEVEL | 0x66))]
    machine = start_after(start, tmp_path, *entries, machine="q35")
    assert timer_line(machine.prompt()) == said("PIC", *PIT)
    assert_keyboard_and_com1(machine)
    pins = dict(re.findall(r"pin (\d+) +(.*)", monitor(machine, "info pic")))
    assert [pin for pin, entry in pins.items() if "masked" not in entry] == ["0"]


@pytest.mark.quick
def test_line_0_is_taken_back_from_the_hpet(start, tmp_path):
    """Left in the PIT's place, ticking at a rate of its own: 1 kHz."""
    timer_0 = 1 << 2 | 1 << 3 | 1 << 6          # interrupts, periodic, comparator follows
    machine = start_after(start, tmp_path, store(HPET_CONFIGURATION, HPET_ON | HPET_LEGACY),
                          store(HPET_TIMER_0, timer_0), store(HPET_COMPARATOR_0, 100000),
                          machine="q35", extra=icount(), image=images.make_image(SERIAL))
    assert timer_line(machine.prompt()) == said("PIC", *PIT)
    assert_time_is_right(machine)


@pytest.mark.full
@pytest.mark.parametrize("register, value", [(0x0a, 0x66), (0x0b, 0x82)], ids=["divider", "held"])
def test_a_real_time_clock_that_stands_is_not_waited_for(start, tmp_path, register, value):
    """Nothing else says how fast the TSC is."""
    machine = start_after(start, tmp_path, out(0x70, register), out(0x71, value),
                          machine="pc,acpi=off", image=images.make_image("pit=off"))
    assert timer_line(machine.prompt()) == ("interrupts: PIC, timer: nothing ticks, "
                                            "clock: nothing counts")


@pytest.mark.full
def test_uefi_leaves_no_vector_of_an_exception(boot):
    """OVMF's vector for withdrawn interrupts is 15, and would end in a panic."""
    machine = boot(firmware="uefi")
    lapic = local_apic(machine)
    assert "spurious vec 255" in lapic
    assert re.search(r"LVTT\s.*masked", lapic)


# ---- The command -------------------------------------------------------------------------------

@pytest.mark.quick
def test_timer_command(machine):
    assert machine.command("timer") == ["interrupts: PIC",
                                        "tick:       PIT, every 10 ms, line 0",
                                        "clock:      PIT, 1193182 Hz"]
    for wrong in ("0", "1001", "-1", "x", "1 2"):
        assert machine.one_line(f"timer {wrong}") == "usage: timer [MS]"
