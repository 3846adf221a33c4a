"""Faults in the first instructions of a boot, before paging, and even before any C.

gdb breaks in at a place and has the kernel go on in a function that faults.
"""
import re

import pytest

import images
from console import to_lines
from memory_model import PAGE
from other_machines import Bochs
from test_faults import CALL, calls_of, debug, gdb_server, report_of, symbols


def behind(instruction, function):
    """The address behind the first such instruction of a function."""
    text = (images.BUILD / "roninos.dis").read_text()
    body = text[text.index(f"<{function}>:"):].splitlines()
    at = next(i for i, line in enumerate(body) if re.search(rf"\t{instruction} ", line))
    return "*0x" + body[at + 1].split(":")[0].strip()


def broken_at(start, folder, place, *commands, **options):
    """What a machine reports that gdb has stopped at a place to do something there."""
    machine = start(extra=["-S", *gdb_server(folder)], **options)
    debug(folder, f"hbreak {place}", "continue", *commands, "delete")
    return report_of(machine)


@pytest.mark.parametrize("firmware", [pytest.param("bios", marks=pytest.mark.quick),
                                      pytest.param("uefi32", marks=pytest.mark.full)])
@pytest.mark.parametrize("place", ["in start.S", "kernel_main"])
def test_faults_are_named_from_the_first_table_on(start, tmp_path, firmware, place):
    where = behind("lidtl?", "start") if place == "in start.S" else place
    report = broken_at(start, tmp_path, where, "set $eip = crash_divide", firmware=firmware)
    assert report[0] == "PANIC: divide error (exception 0, error code 0x0)"
    assert calls_of(report)[0] == "crash_divide"
    assert "thread idle" in report[4]


@pytest.mark.quick
def test_a_double_fault_before_paging(start, tmp_path):
    """The divide error's gate is broken: its task switches without a page directory."""
    report = broken_at(start, tmp_path, "kernel_main", "set ((char *)&idt)[5] = 0",
                       "set $eip = crash_divide")
    assert re.match(r"PANIC: double fault \(ESP 0x[0-9a-f]{8}\)$", report[0])
    assert calls_of(report)[0] == "crash_divide"


# ---- The boot stack without a guard page --------------------------------------------------------

def assert_boot_stack_overflow(report, found_by):
    bottom = symbols()["_boot_stack_bottom"]
    assert re.fullmatch(rf"PANIC: stack overflow in thread idle \(boot\) \({found_by}, "
                        r"ESP 0x[0-9a-f]{8}\)", report[0])
    assert report[5:7] == [
        f"0x{bottom - 4:08x}: guard page below the stack of thread idle (boot)",
        "paging is off: every address is its own"]
    assert calls_of(report)[0] == "crash_stack_overflow"


@pytest.mark.quick
def test_the_boot_stacks_last_word_is_watched(start, tmp_path):
    """QEMU checks no segment limits. The function's first push goes there."""
    report = broken_at(start, tmp_path, "pmm_init", "set $esp = _boot_stack_bottom + 4",
                       "set $eip = crash_stack_overflow")
    assert_boot_stack_overflow(report, "debug exception")


@pytest.mark.quick
def test_a_guard_page_that_was_written_to(start, tmp_path):
    address = symbols()["_boot_stack_bottom"] - 1000
    report = broken_at(start, tmp_path, "pmm_init", f"set *(int *){address} = 1")
    assert report[0] == "PANIC: stack overflow in thread idle (boot), before paging was on"
    assert report[5] == f"0x{address:08x}: guard page below the stack of thread idle (boot)"


def going_elsewhere(path, function, target):
    """The image, but that one function of the kernel begins with a jump to another."""
    place = symbols()
    kernel = images.KERNEL.read_bytes()
    at = place[function] - place["_text_start"] + PAGE
    code = kernel[at:at + 32]
    image = images.default_image().read_bytes()
    assert kernel.count(code) == image.count(code) == 1
    distance = place[target] - place[function] - 5
    path.write_bytes(image.replace(code, b"\xe9" + distance.to_bytes(4, "little", signed=True)
                                   + code[5:]))
    return path


@pytest.mark.full
def test_the_boot_stacks_segment_ends_where_it_does(tmp_path):
    machine = Bochs(image=going_elsewhere(tmp_path / "image.iso", "pmm_init",
                                          "crash_stack_overflow"))
    try:
        machine.wait_for("The machine is halted.")
        text = bytes(machine.received).decode()
        report = to_lines(text[text.index("PANIC: "):].encode())
    finally:
        machine.close()
    assert_boot_stack_overflow(report, "double fault")
    assert calls_of(report)[-2:] == ["kernel_main", "start"]
    assert sum(int(match[5] or 1) for match in map(CALL.fullmatch, report) if match) > 100
