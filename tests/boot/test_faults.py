"""What the kernel says of its own faults."""
import re

import pytest

import images
from console import to_lines

HEX = "0x[0-9a-f]{8}"
CALL = re.compile(rf"#(\d+) ({HEX}) (\S+)\+0x[0-9a-f]+")

# What the first line says of each kind.
KINDS = {
    "null-read": "NULL",
    "null-write": "NULL",
    "null-call": "NULL",
    "unmapped": f"page fault.*{HEX}",
    "text-write": "read-only",
    "rodata-write": "read-only",
    "divide": "divide",
    "invalid-opcode": "invalid opcode",
    "assert": r"\w+ (==|<|>|!=|<=|>=) \w+",
    "stack-overflow": "stack overflow.*shell",
    "frame-double-free": rf"pmm_free_frame: double free of the frame {HEX}",
    "frame-invalid-free": "pmm_free_frame: invalid free of 0x00100000",
    "frame-wrong-owner": f"pmm_free_frame: wrong owner: the frame {HEX} belongs to: kernel, "
                         "and was given back by: drivers",
}
QUICK = {"null-read", "null-call", "text-write", "assert", "stack-overflow"}


def crash(machine, kind):
    """Provokes the fault; returns the report, once the machine stands still for good."""
    machine.send(f"crash {kind}\r")
    machine.wait_for("PANIC: ")
    start = machine.mark - len("PANIC: ")
    machine.wait_halted()
    last = [line for line in machine.screen() if line][-1]
    machine.wait_for(last)
    return to_lines(machine.received[start:])


def innermost(calls, count=4):
    return [call[3] for call in calls[:count]]


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.quick if kind in QUICK
                                               else pytest.mark.full) for kind in KINDS])
def test_crash(boot, kind):
    assert_report(boot(), kind)


@pytest.mark.quick
def test_crash_in_text_mode(boot):
    assert_report(boot(images.make_image(video="text")), "null-write")


def assert_report(machine, kind):
    title, *rest = crash(machine, kind)
    assert re.match(f"PANIC: .*{KINDS[kind]}", title)

    calls = [match for match in map(CALL.fullmatch, rest) if match]
    at = rest.index(calls[0][0])
    registers = " ".join(rest[:at])
    for name in "eax ebx ecx edx esi edi ebp esp eip eflags cr0 cr2 cr3 cr4".split():
        assert re.search(rf"\b{name}\W+{HEX}", registers), f"no {name}"

    assert rest[at:at + len(calls)] == [call[0] for call in calls], "the calls stand together"
    assert [int(call[1]) for call in calls] == list(range(len(calls)))
    assert any(kind.replace("-", "_") in name for name in innermost(calls))
    code = [int(call[2], 16) for call in calls[kind == "null-call":]]
    assert len(code) >= 3 and all(0x100000 <= address < 0x400000 for address in code)
    assert_screen_shows(machine, [title, *rest])


def assert_screen_shows(machine, report):
    """The end of the screen is the end of the report, whose long lines take several rows."""
    shown = machine.screen()
    while shown[-1] == "":
        shown.pop()
    rows = [line[at:at + machine.columns].rstrip() for line in report
            for at in range(0, max(1, len(line)), machine.columns)]
    count = min(len(rows), len(shown))
    assert shown[-count:] == rows[-count:]


@pytest.mark.full
def test_the_fault_address_is_named(boot):
    """The page fault's address is in the first line and in CR2."""
    title, *rest = crash(boot(), "unmapped")
    address = re.search(HEX, title)[0]
    assert any(re.search(rf"cr2\W+{address}", line) for line in rest)


@pytest.mark.quick
def test_crash_lists_its_kinds(machine):
    assert set(KINDS) <= set(machine.command("crash"))


@pytest.mark.quick
def test_an_unknown_kind_crashes_nothing(machine):
    assert machine.one_line("crash gently").startswith("error: unknown ")
