"""What the kernel says of its own faults."""
import re
from typing import NamedTuple

import pytest

import images
from console import to_lines

HEX = "0x[0-9a-f]{8}"
CALL = re.compile(rf"#(\d+) ({HEX}) (\S+)\+0x[0-9a-f]+(?: (\S+:\d+)(?: (\d+) times)?)?")

GUARD = "guard page below the stack of thread {}"


class Kind(NamedTuple):
    """What the report of a kind says: the first line, what the address belongs to, its tables."""
    title: str
    address: str = None     # of what the address line begins with; None: there is no such line
    what: str = None
    present: bool = False   # the page at the address


KINDS = {
    "null-read": Kind("page fault: read of NULL", "0x00000000", "page 0, .* NULL"),
    "null-write": Kind("page fault: write to NULL", "0x00000000", "page 0, .* NULL"),
    "null-call": Kind("page fault: call of NULL", "0x00000000", "page 0, .* NULL"),
    "unmapped": Kind(f"page fault: read of {HEX} .not present", HEX, ".*shadow"),
    "text-write": Kind("page fault: write to .*read-only: kernel text", HEX,
                       r"kernel text: \S+\+0x0", True),
    "rodata-write": Kind("page fault: write to .*read-only: kernel read-only data", HEX,
                         "kernel read-only data", True),
    "divide": Kind("divide error"),
    "invalid-opcode": Kind(r"invalid opcode \(exception 6"),
    "undefined-behaviour": Kind("invalid opcode: undefined behaviour in crash_undefined_behaviour "
                                r"\(kernel/shell/cmd_crash\.c:\d+\)"),
    "assert": Kind(r"assertion failed: two \+ two == 5 \(kernel/shell/cmd_crash\.c:\d+\)"),
    "stack-overflow": Kind("stack overflow in thread shell", HEX, GUARD.format("shell")),
    "stack-smash": Kind("stack smash in crash_stack_smash"),
    "interrupt-read": Kind("page fault: read of NULL", "0x00000000", "page 0, .* NULL"),
    "interrupt-overflow": Kind("stack overflow in thread shell", HEX, GUARD.format("shell")),
    "double-free": Kind(f"kfree: double free of {HEX}"),
    "invalid-free": Kind(f"kfree: invalid free of {HEX}"),
}
QUICK = {"null-read", "null-call", "text-write", "assert", "stack-overflow", "undefined-behaviour",
         "interrupt-overflow"}
# Between the kind's own function and the panic: those that found it.
DEPTH = {"double-free": 4, "invalid-free": 4, "interrupt-read": 5, "interrupt-overflow": 7}


def crash(machine, kind):
    """Provokes the fault; returns the report, once the machine stands still for good."""
    machine.send(f"crash {kind}\r")
    machine.wait_for("PANIC: ")
    start = machine.mark - len("PANIC: ")
    machine.wait_halted()
    last = [line for line in machine.screen() if line][-1]
    machine.wait_for(last)
    return to_lines(machine.received[start:])


def symbols():
    """Addresses of the kernel's symbols, by name."""
    with open(images.BUILD / "roninos.sym", encoding="utf-8") as file:
        return {name: int(address, 16) for address, _, name in map(str.split, file)}


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=pytest.mark.quick if kind in QUICK
                                               else pytest.mark.full) for kind in KINDS])
def test_crash(boot, kind):
    assert_report(boot(), kind)


@pytest.mark.quick
def test_crash_in_text_mode(boot):
    assert_report(boot(images.make_image(video="text")), "null-write", 25)


@pytest.mark.full
def test_the_longest_report_fits_into_text_mode(boot):
    """With all of its calls it would not: so many are shown that the first line stays."""
    assert_report(boot(images.make_image(video="text")), "interrupt-overflow", 25)


def assert_report(machine, kind, rows=None):
    expected = KINDS[kind]
    title, *rest = crash(machine, kind)
    assert re.match(f"PANIC: {expected.title}", title)

    calls = [match for match in map(CALL.fullmatch, rest) if match]
    at = rest.index(calls[0][0])
    registers = " ".join(rest[:4])
    for name in "eax ebx ecx edx esi edi ebp esp eip eflags cr0 cr2 cr3 cr4".split():
        assert re.search(rf"\b{name}\W+{HEX}", registers), f"no {name}"
    assert re.search(r"thread shell(, in an interrupt)?$", rest[3])
    assert rest[3].endswith("interrupt") == kind.startswith("interrupt")
    assert_address(expected, title, rest[4:at])

    assert rest[at:at + len(calls)] == [call[0] for call in calls], "the calls stand together"
    assert [int(call[1]) for call in calls] == list(range(len(calls)))
    function = "crash_" + kind.replace("-", "_")
    if kind.startswith("interrupt-"):
        assert calls[0][3] in ("crash_null_read", "crash_stack_overflow")
        assert [call[3] for call in calls if "trap" in call[3]] == ["trap_dispatch"]
    mine = next(i for i, call in enumerate(calls) if call[3] == function)
    assert mine < DEPTH.get(kind, 3)
    assert re.fullmatch(r"kernel/shell/cmd_crash\.c:\d+", calls[mine][4])
    assert ("overflow" in kind) == any(int(call[5] or 0) > 500 for call in calls)
    code = [int(call[2], 16) for call in calls[kind == "null-call":]]
    assert len(code) >= 3 and all(0x100000 <= address < 0x400000 for address in code)

    log = rest[at + len(calls):-1]
    assert log[0] == "the log's last lines:" and len(log) > 1
    assert all(line.startswith("  ") for line in log[1:])
    assert rest[-1] == "The machine is halted."
    assert_screen_shows(machine, [title, *rest], rows)


def assert_address(expected, title, lines):
    """What the report says of the address: whose it is, and the entries of the tables."""
    if expected.address is None:
        assert lines == []
        return
    what, directory, *table = lines
    assert re.fullmatch(f"{expected.address}: {expected.what}.*", what)
    address = int(what.split(":")[0], 16)
    if "overflow" not in title:
        assert f"0x{address:08x}" in title
    assert re.match(rf"directory\[{address >> 22}\] {HEX}: (not present$|present, )", directory)
    assert bool(table) == ("table 0x" in directory)
    if table:
        state = f"present, read-only, .*frame 0x{address & ~0xfff:08x}" if expected.present \
            else "not present"
        assert re.fullmatch(rf"table\[{address >> 12 & 1023}\] {HEX}: {state}", table[0])


def assert_screen_shows(machine, report, whole=None):
    """The end of the screen is the end of the report, whose long lines take several rows.

    With `whole` the screen has so many rows, and the first line is still there.
    """
    shown = machine.screen()
    while shown[-1] == "":
        shown.pop()
    rows = [line[at:at + machine.columns].rstrip() for line in report
            for at in range(0, max(1, len(line)), machine.columns)]
    count = min(len(rows), len(shown))
    assert shown[-count:] == rows[-count:]
    if whole:
        assert machine.rows == whole and rows[0] in shown


@pytest.mark.full
def test_the_fault_address_is_named(boot):
    """The page fault's address is in the first line and in CR2."""
    title, *rest = crash(boot(), "unmapped")
    address = re.search(HEX, title)[0]
    assert any(re.search(rf"cr2\W+{address}", line) for line in rest)


@pytest.mark.quick
def test_crash_lists_its_kinds(machine):
    """Each line begins with a kind, and says what it does."""
    lines = [line.split(maxsplit=1) for line in machine.command("crash")]
    assert set(KINDS) <= {kind for kind, _ in lines}


@pytest.mark.quick
def test_an_unknown_kind_crashes_nothing(machine):
    assert machine.one_line("crash gently").startswith("error: unknown ")


@pytest.mark.full
@pytest.mark.parametrize("cpu", ["max", "qemu32", "486"])
def test_the_stack_guard_differs_from_boot_to_boot(boot, cpu):
    """By RDRAND, by the TSC and the timer, by the timer alone."""
    address = symbols()["__stack_chk_guard"]
    guards = set()
    for _ in range(3):
        machine = boot(cpu=cpu)
        guards.add(machine.one_line(f"peek {address:x}").split()[1])
    assert len(guards) > 1
    assert all(guard.endswith("00") for guard in guards), "a string must not write it"
