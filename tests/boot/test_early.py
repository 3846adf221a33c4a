"""Faults in the first instructions of a boot, before paging, and even before any C.

gdb breaks in at a place and has the kernel go on in a function that faults.
"""
import re

import pytest

import images
from test_faults import calls_of, debug, gdb_server, report_of


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
