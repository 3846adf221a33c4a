"""How the kernel comes up and leaves: boot media, machines, command lines, power."""
import re
import subprocess
import time

import pytest

import images
from console import MachineError
from machine import Machine

DEBUG_EXIT = ["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
PASSED = 1              # what isa-debug-exit makes of the 0 that the kernel writes
FAILED = 3
GREETING = "memory smoke test: PASS"


def assert_works(machine):
    """The machine is at a prompt and runs commands."""
    assert machine.command("echo it works") == ["it works"]


# ---- What a boot prints ------------------------------------------------------------------------

@pytest.mark.quick
def test_boot_lines_come_in_their_order(start):
    lines = start().prompt()
    wanted = [r"memory map", r"\s*0x[0-9a-f]+ - 0x[0-9a-f]+\s+\w+",
              r"PMM.*\d+ KiB.*managed.*\d+ KiB.*free.*\d+ KiB.*reserved",
              r"paging enabled.*0x00001000 - 0x07[0-9a-f]{6}",
              r"heap.*0x18000000.*mapped", r"memory smoke test: PASS", r"interrupts", r"scheduler",
              r"keyboard"]
    at = [next((i for i, line in enumerate(lines) if re.match(pattern, line)), None)
          for pattern in wanted]
    assert None not in at, f"no line {wanted[at.index(None)]!r}"
    assert at == sorted(at)


@pytest.mark.quick
def test_region_lines_cover_the_machine(machine):
    """What every PC of this size has: low memory, and RAM up to just below 128 MiB."""
    regions = [line.split() for line in machine.command("memmap")]
    available = [(int(words[0], 16), int(words[2], 16)) for words in regions
                 if words[-1] == "available"]
    assert any(start == 0 and last < 0xa0000 for start, last in available)
    assert any(start == 0x100000 and 127 << 20 < last < 128 << 20 for start, last in available)


# ---- Machines and media ------------------------------------------------------------------------

@pytest.mark.parametrize("options", [
    pytest.param({"media": "cdrom", "machine": "pc"}, marks=pytest.mark.full),
    pytest.param({"media": "cdrom", "machine": "q35"}, marks=pytest.mark.quick),
    pytest.param({"media": "disk", "machine": "pc"}, marks=pytest.mark.quick),
    pytest.param({"media": "disk", "machine": "q35"}, marks=pytest.mark.full),
    pytest.param({"media": "usb", "machine": "pc"}, marks=pytest.mark.full),
    pytest.param({"media": "usb", "machine": "q35"}, marks=pytest.mark.quick),
    pytest.param({"cpu": "486"}, marks=pytest.mark.quick),
    pytest.param({"cpu": "pentium"}, marks=pytest.mark.full),
    pytest.param({"cpu": "pentium3"}, marks=pytest.mark.full),
    pytest.param({"cpu": "max"}, marks=pytest.mark.quick),
    pytest.param({"cpu": "max", "machine": "q35"}, marks=pytest.mark.full),
], ids=lambda options: "-".join(options.values()))
def test_boots(boot, options):
    machine = boot(**options)
    assert_works(machine)
    assert machine.command("heap_test")[-1] == "heap_test: PASS"


@pytest.mark.quick
def test_without_com1_screen_and_keyboard_do(start):
    machine = start(serial=False)
    machine.wait_screen(lambda lines: "ronin>" in lines)
    machine.type("echo By Hand\n")
    machine.wait_screen(lambda lines: "By Hand" in lines)


@pytest.mark.quick
def test_without_graphics_card_com1_does(boot):
    assert_works(boot(extra=["-vga", "none"]))


# ---- The kernel's command line -----------------------------------------------------------------

@pytest.mark.quick
def test_selftest_passes_and_says_so_to_qemu(start):
    machine = start(images.make_image("selftest"), extra=DEBUG_EXIT)
    totals = machine.wait_for(re.compile(rb"(\d+) passed, (\d+) failed\r\n"), timeout=300)
    assert int(totals[1]) > 0 and int(totals[2]) == 0
    assert machine.wait_exit() == PASSED


@pytest.mark.full
def test_selftest_without_the_exit_device_powers_off(start):
    machine = start(images.make_image("selftest"))
    assert machine.wait_event("SHUTDOWN", timeout=300)["reason"] == "guest-shutdown"
    assert machine.wait_exit() == 0


@pytest.mark.full
def test_selftest_on_a_machine_that_stays_on_is_seen(start):
    """Its figures are on the screen, and its keyboard works."""
    machine = start(images.make_image("selftest"), machine="pc,acpi=off")
    machine.wait_for("The machine may be switched off.", timeout=300)
    machine.wait_screen(lambda lines: "The machine may be switched off." in lines and
                        any(line.endswith(" passed, 0 failed") for line in lines))
    machine.press("ctrl", "alt", "delete")
    machine.wait_for("memory map")


@pytest.mark.quick
def test_panic_under_selftest_is_a_failure(start):
    """A non-maskable interrupt, which nothing in this machine explains, while the kernel starts."""
    machine = start(images.make_image("selftest"), extra=DEBUG_EXIT)
    machine.wait_for("memory map")
    machine.qmp("inject-nmi")
    machine.wait_for("PANIC: ")
    assert machine.wait_exit() == FAILED


@pytest.mark.full
def test_exit_device_is_left_alone_without_selftest(boot):
    machine = boot(extra=DEBUG_EXIT)
    assert machine.command("selftest", timeout=300)[-1].endswith(" 0 failed")
    machine.send("poweroff\r")
    assert machine.wait_exit() == 0


@pytest.mark.full
def test_keymap_word(boot):
    machine = boot(images.make_image("keymap=de"))
    assert machine.command("keymap") == ["de"]
    machine.type("echo zy-ß\n", layout="de")
    assert machine.prompt() == ["echo zy-ß", "zy-ß"]


@pytest.mark.quick
def test_console_serial_leaves_the_screen_alone(boot):
    machine = boot(images.make_image("console=serial"))
    assert_works(machine)
    assert not any("memory" in line or "ronin>" in line for line in machine.screen())


@pytest.mark.quick
def test_unknown_words_are_reported_and_ignored(start):
    machine = start(images.make_image("colour=blue keymap=de keymap=fr"))
    lines = machine.prompt()
    for word in ("colour=blue", "keymap=fr"):
        assert any("unknown" in line and word in line for line in lines), word
    assert not any("unknown" in line and "keymap=de" in line for line in lines)
    assert machine.command("keymap") == ["de"]


@pytest.mark.quick
def test_words_behind_a_long_one_count(boot):
    machine = boot(images.make_image("x" * 800 + " keymap=de"))
    assert machine.command("keymap") == ["de"]


@pytest.mark.quick
def test_a_wrong_magic_is_reported_and_stops(start, tmp_path):
    """A debugger changes what the loader leaves in EAX, at the kernel's first instruction."""
    server = tmp_path / "gdb"
    machine = start(images.make_image(video="text"),
                    extra=["-S", "-gdb", f"unix:{server},server=on,wait=off"])
    subprocess.run(["gdb", "-q", "-batch", images.BUILD / "roninos.elf",
                    "-ex", "set architecture i386", "-ex", f"target remote {server}",
                    "-ex", "hbreak *start", "-ex", "continue", "-ex", "set $eax = 0x2badb002",
                    "-ex", "delete", "-ex", "detach"],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120, check=True)
    machine.wait_for("PANIC: cannot start: not started by a Multiboot2 loader")
    machine.wait_for("The machine is halted.")
    assert any("not started by a Multiboot2 loader" in line for line in machine.screen())


# ---- GRUB's menu -------------------------------------------------------------------------------

def wait_for_menu(machine, press):
    """Presses a key again and again while firmware and GRUB start, until the menu stands there."""
    def shows_menu(lines):
        if time.monotonic() >= next_press[0]:   # more often would only fill the BIOS's buffer
            press()
            next_press[0] = time.monotonic() + 0.1
        return any("self-test" in line for line in lines)

    next_press = [0]

    machine.wait_screen(shows_menu)
    assert b"ronin> " not in machine.received


def press_until_the_kernel_starts(machine, key):
    while b"RoninOS" not in machine.received:
        machine.press(key)
        time.sleep(0.5)
        assert machine.process.poll() is None


@pytest.mark.quick
def test_escape_shows_the_menu_with_the_self_test(start):
    machine = start(extra=DEBUG_EXIT)
    wait_for_menu(machine, lambda: machine.press("esc"))

    def self_test_is_selected(lines):
        selected = any("*" in line and "self-test" in line for line in lines)
        if not selected:
            machine.press("down")
            time.sleep(0.1)
        return selected

    machine.wait_screen(self_test_is_selected)
    press_until_the_kernel_starts(machine, "ret")
    assert machine.wait_exit(timeout=300) == PASSED


@pytest.mark.full
def test_held_shift_shows_the_menu(start):
    machine = start()
    wait_for_menu(machine, lambda: machine.hold("shift"))
    machine.hold("shift", down=False)
    press_until_the_kernel_starts(machine, "ret")
    machine.prompt()


# ---- Leaving -----------------------------------------------------------------------------------

@pytest.mark.parametrize("chipset", [pytest.param("pc", marks=pytest.mark.quick),
                                     pytest.param("q35", marks=pytest.mark.full)])
def test_poweroff(boot, chipset):
    machine = boot(machine=chipset)
    machine.send("poweroff\r")
    assert machine.wait_event("SHUTDOWN") == {"guest": True, "reason": "guest-shutdown"}
    assert machine.wait_exit() == 0


@pytest.mark.parametrize("chipset", [pytest.param("pc", marks=pytest.mark.quick),
                                     pytest.param("q35", marks=pytest.mark.full),
                                     pytest.param("pc,i8042=off", marks=pytest.mark.quick),
                                     pytest.param("q35,i8042=off", marks=pytest.mark.full)])
def test_reboot(boot, chipset):
    """Also without a keyboard controller, whose reset line is the usual way."""
    machine = boot(machine=chipset)
    machine.send("reboot\r")
    assert machine.wait_event("RESET") == {"guest": True, "reason": "guest-reset"}
    machine.wait_for(GREETING)
    machine.prompt()
    assert_works(machine)


@pytest.mark.quick
def test_these_tests_can_fail(machine):
    """The waits notice what does not come, and show what did."""
    with pytest.raises(MachineError, match="(?s)never printed.*ronin> "):
        machine.wait_for("never printed", timeout=0.1)
    with pytest.raises(MachineError, match="QEMU did not start"):
        Machine(machine="no-such-machine")
