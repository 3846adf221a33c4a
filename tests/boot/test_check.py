"""The checking build: each kind of mistake in a boot of its own, and its report line by line.

Without CHECK=1 the kinds are listed and refused.
"""
import re

import pytest

from images import CHECKING
from machine import Machine
from test_faults import CALL, HEX, crash

checking = pytest.mark.skipif(not CHECKING, reason="needs the checking build: make CHECK=1 test")

ACCESS = rf"(?P<access>read|write) of (?P<size>\d+) bytes? at (?P<address>{HEX}) by (?P<by>.+)"
BLOCK = re.compile(rf"block ({HEX}), (\d+) bytes, (live|freed): ({HEX}) is (.+)")

# Kind: the first line, and what it is about as the details say it.
ACCESSES = {
    "use-after-free": ("use after free", "read", 4, "freed: {} is byte 8 of it"),
    "heap-overread": ("heap overflow", "read", 1, "live: {} is 0 bytes behind its end"),
    "heap-underread": ("heap underflow", "read", 4, "live: {} is 4 bytes before its start"),
    "global-overflow": ("global out of bounds", "write", 4,
                        "global numbers of kernel/shell/crash_checked.c, .*, 20 bytes: "
                        "{} is 0 bytes behind its end"),
    "stack-out-of-bounds": ("stack out of bounds", "read", 1,
                            "variable local of crash_stack_out_of_bounds, .*, 10 bytes: "
                            "{} is 0 bytes behind its end"),
}
LOCKS = {
    "lock-twice": ("lock taken twice: spinlock spinlock of kernel/shell/crash_checked.c",
                   ["it was taken"]),
    "lock-order": ("lock order inverted: mutex second of .*, then mutex first of .*",
                   ["the first was taken", "before, the second was taken",
                    "and while it was held, the other one"]),
    "lock-sleep": ("sleeping while a lock is held: spinlock spinlock of .*", ["it was taken"]),
    "lock-foreign": ("lock released by another thread: mutex first of .*", ["it was taken"]),
    "irq-off-long": (r"interrupts off for too long: \d+ accesses to memory",
                     ["interrupts were turned off"]),
}
OTHERS = ["memcpy-overflow", "free-overwrite"]
QUICK = {"use-after-free", "stack-out-of-bounds", "lock-order"}


def kinds(table):
    return [pytest.param(kind, marks=pytest.mark.quick if kind in QUICK else pytest.mark.full)
            for kind in table]


def calls_from(lines, at):
    """The names of the calls that stand from that line on."""
    names = []
    while at < len(lines) and (match := CALL.fullmatch(lines[at])):
        assert int(match[1]) == len(names)
        names.append(match[3])
        at += 1
    return names


def calls_behind(lines, what):
    """The calls behind a line "WHAT by thread NAME:"."""
    at = next(i for i, line in enumerate(lines) if line.startswith(f"{what} by thread "))
    return calls_from(lines, at + 1)


def own_calls(lines):
    """The panic's own calls, which come first."""
    return calls_from(lines, next(i for i, line in enumerate(lines) if CALL.fullmatch(line)))


def drawing(lines):
    """The shadow: bytes by the address of the 8 that they tell of, and the one that is marked."""
    shadow, marked = {}, None
    for line in lines:
        if match := re.fullmatch(rf"({HEX}):((?:[ \[\]][0-9a-f]{{2}}){{16}})\]?", line):
            cells = re.findall(r"([ \[\]])([0-9a-f]{2})", match[2])
            for i, (mark, value) in enumerate(cells):
                shadow[int(match[1], 16) + 8 * i] = int(value, 16)
                marked = int(match[1], 16) + 8 * i if mark == "[" else marked
    return shadow, marked


@checking
@pytest.mark.parametrize("kind", kinds(ACCESSES))
def test_an_access_is_reported(boot, kind):
    what, access, size, details = ACCESSES[kind]
    function = "crash_" + kind.replace("-", "_")
    title, *rest = crash(boot(), kind)
    match = re.fullmatch(f"PANIC: {what}: {ACCESS}", title)
    assert match and match["access"] == access and int(match["size"]) == size
    assert match["by"] == function
    assert own_calls(rest)[:2] == [function, "command_crash"]
    address = match["address"]
    assert any(re.search(details.format(address) + "$", line) for line in rest)
    if "heap" in what or "free" in what:
        assert calls_behind(rest, "allocated")[:2] == [function, "command_crash"]
    if "free" in what:
        assert calls_behind(rest, "freed")[:2] == [function, "command_crash"]
    shadow, marked = drawing(rest)
    assert len(shadow) == 80
    assert marked == int(address, 16) // 8 * 8
    legend = {line.split()[0] for line in rest if re.match("  [0-9a-f]{2}[ -]", line)}
    assert {f"{value:02x}" for value in shadow.values() if value == 0 or value > 7} <= legend


@checking
@pytest.mark.full
def test_a_range_names_the_function_and_its_caller(boot):
    title, *rest = crash(boot(), "memcpy-overflow")
    assert re.fullmatch(f"PANIC: global out of bounds: write of 32 bytes at {HEX} "
                        "by memcpy in crash_memcpy_overflow", title)
    assert own_calls(rest)[:2] == ["memcpy", "crash_memcpy_overflow"]
    assert any(line.endswith("is 0 bytes behind its end") for line in rest)


@checking
@pytest.mark.full
def test_what_was_written_unseen_is_found_later(boot):
    title, *rest = crash(boot(), "free-overwrite")
    assert re.fullmatch("PANIC: use after free: written to after it was freed was the block at "
                        f"{HEX}", title)
    assert calls_behind(rest, "freed")[0] == "crash_free_overwrite"


@checking
@pytest.mark.parametrize("kind", kinds(LOCKS))
def test_a_lock_is_reported(boot, kind):
    first, traces = LOCKS[kind]
    title, *rest = crash(boot(), kind)
    assert re.fullmatch(f"PANIC: {first}", title)
    function = "crash_" + kind.replace("-", "_")
    assert function in own_calls(rest)
    for trace in traces:
        names = calls_behind(rest, trace)
        assert function in names or "take_and_end" in names


@checking
@pytest.mark.full
def test_red_zones_are_looked_at_by_heap_check(machine):
    assert re.fullmatch("the heap is sound: .* in quarantine .*; all red zones are whole",
                        machine.one_line("heap check"))


@checking
@pytest.mark.full
def test_no_red_zone_is_written_before_there_is_a_shadow(boot, tmp_path):
    """The compiler writes the shadow of stacks without asking whether there is one.

    On this machine RAM is where the shadow will be; what firmware left there must stay.
    """
    size = 0x200000
    (tmp_path / "ones").write_bytes(b"\xff" * size)
    machine = boot(memory="3G", extra=["-device", f"loader,file={tmp_path}/ones,addr=0x80000000,"
                                       "force-raw=on"])
    machine.qmp("pmemsave", val=0x80000000, size=size, filename=str(tmp_path / "now"))
    assert (tmp_path / "now").read_bytes() == b"\xff" * size


@checking
@pytest.mark.full
@pytest.mark.parametrize("memory", ["64M", "600M"])
def test_selftest_on_other_machines(memory):
    with Machine(memory=memory) as machine:
        machine.prompt()
        assert re.fullmatch(r"\d+ passed, 0 failed", machine.command("selftest", 200)[-1])


@pytest.mark.quick
def test_kinds_that_need_the_checking_build_say_so(machine):
    listed = {line.split()[0]: line for line in machine.command("crash")}
    for kind in [*ACCESSES, *LOCKS, *OTHERS]:
        assert ("checking build" in listed[kind]) == (not CHECKING)
        if not CHECKING:
            assert machine.one_line(f"crash {kind}").startswith("error: ")


@pytest.mark.quick
def test_heap_check_finds_a_sound_heap(machine):
    assert machine.one_line("heap check").startswith("the heap is sound: ")
    assert machine.one_line("heap nothing").startswith("usage: heap [check]")
