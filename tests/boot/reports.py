"""What the report of each kind of `crash` is, line by line, in the normal and in the checking build.

A report is expected as patterns, one for each line. Names in them are filled in:

    <me>                   the function that provokes the kind: crash_null_read
    <at>, <at-8>           the address that the report is about. The first line that has it says which
    <page>                 where its page begins
    <directory>, <table>   the numbers of the entries that lead to it
    <row>, <column>        its place in the drawing of the shadow

Behind `...` stands what any number of lines may look like, up to one that the next pattern fits.
"""
import re
from typing import NamedTuple

import images
from console import to_lines

HEX = "0x[0-9a-f]{8}"
CALL = re.compile(rf"#(\d+) ({HEX}) (\S+)\+0x[0-9a-f]+(?: (\S+:\d+)(?: (\d+) times)?)?")


def crash(machine, kind):
    """Provokes the fault; returns the report, once the machine stands still for good."""
    machine.send(f"crash {kind}\r")
    machine.wait_for("PANIC: ")
    start = machine.mark - len("PANIC: ")
    machine.wait_halted()
    last = [line for line in machine.screen() if line][-1]
    machine.wait_for(last)
    return to_lines(machine.received[start:])


# ---- Lines -------------------------------------------------------------------------------------

# Of some calls clang gives no line.
LINE = r"( \S+:\d+)?" if "clang" in images.COMPILED_BY else r" \S+:\d+"
MY_LINE = LINE.replace(r"\S+", r"(kernel/shell/c\w+\.c|include/\S+\.h)")
ANY_CALL = rf"#\d+ {HEX} \S+\+0x[0-9a-f]+{LINE}"


def call(function):
    """A call: its number, its address, the function. `<me>*`: it has called itself very often."""
    if function == "?":
        return r"#0 0x00000000 \?\+0x0"
    name = function.rstrip("*")
    line = (MY_LINE if name == "<me>" else LINE) + (r" \d{3,} times" if name != function else "")
    return rf"#\d+ {HEX} {name}\+0x[0-9a-f]+{line}"


def calls(functions):
    """The calls, innermost first, as words; `...` for those that are the compiler's affair."""
    return ["..." + ANY_CALL if word == "..." else call(word) for word in functions.split()]


def place(what):
    """Who allocated or freed, as the normal build keeps it."""
    return rf"{what} by <me>\+0x[0-9a-f]+{MY_LINE}"


def trace(what, functions, thread="shell"):
    """Who did something, as the checking build keeps it."""
    return [f"{what} by thread {thread}:", *calls(functions), "..." + ANY_CALL]


def page(what, state):
    """What the address belongs to, and the entries of the page tables."""
    return [f"<at>: {what}",
            rf"directory\[<directory>\] {HEX}: present, writable, accessed, table {HEX}",
            rf"table\[<table>\] {HEX}: {state}"]


def heap(what, *places):
    """The same of an address in the heap, with those who allocated and freed the block."""
    first, *tables = page(f"heap: {what}", f"present, writable, accessed, dirty, frame {HEX}")
    return [first, *map(place, places), *tables]


def position(offset, size):
    """Where the address lies that is so far behind the start of something."""
    if 0 <= offset < size:
        return f"<at> is byte {offset} of it"
    return f"<at> is {-offset} bytes before its start" if offset < 0 else \
        f"<at> is {offset - size} bytes behind its end"


LEGEND = {"00": "00 all 8 bytes may be touched", "f3": "f3 stack, above a function's variables",
          "fa": "fa before a block of the heap", "fd": "fd a block that was freed"}


def shadow(value):
    """The drawing: five rows, of which the middle one marks the address's byte, and what they mean."""
    cells, meaning = "( [0-9a-f]{2}){16}", "...  [0-9a-f]{2}[ -].+"
    return ["shadow, a byte for each 8 bytes:", f"<row-256>:{cells}", f"<row-128>:{cells}",
            rf"<row>:( [0-9a-f]{{2}}){{<column>}}\[{value}\]([0-9a-f]{{2}} ?)*",
            f"<row+128>:{cells}", f"<row+256>:{cells}",
            meaning, "  " + LEGEND.get(value, "01-07 only so many of the 8"), meaning]


def block(offset, size, value, freed=False):
    """A block, as the checking build knows it: who allocated it, who freed it, its shadow."""
    lines = [f"block <at{-offset:+}>, {size} bytes, {'freed' if freed else 'live'}: "
             + position(offset, size), *trace("allocated", "<me> command_crash")]
    return lines + (trace("freed", "<me> command_crash") if freed else []) + shadow(value)


def variable(name, offset, size, value):
    """A global variable, or one on the stack."""
    return [rf"{name}, <at{-offset:+}>, {size} bytes: {position(offset, size)}", *shadow(value)]


# ---- Kinds -------------------------------------------------------------------------------------

class Report(NamedTuple):
    """The first line, what is said of an address, the calls, what stands behind them."""
    title: str
    about: list = []
    calls: str = "<me> command_crash"
    details: list = []


NULL = page("page 0, which is never mapped: NULL and what lies near it", "not present")
GUARD = page("guard page below the stack of thread shell", "not present")
READ_ONLY = "present, read-only(, accessed)?, frame <page>"
OVERFLOW = rf"stack overflow in thread shell \(double fault, ESP {HEX}\)"
IN_INTERRUPT = "irq_dispatch ... trap_dispatch isr_common ... <me> command_crash"
BY_KFREE = "... kfree <me> command_crash"
BY_PMM = "... pmm_free_frame <me> command_crash"
LOCKS = "kernel/shell/crash_checked.c"

# What every build sees; what the checking build says otherwise stands below.
REPORTS = {
    "null-read": Report(r"page fault: read of NULL \(<at>, not present\)", NULL),
    "null-write": Report(r"page fault: write to NULL \(<at>, not present\)", NULL),
    "null-call": Report(r"page fault: call of NULL \(<at>, not present\)", NULL,
                        "? <me> command_crash"),
    "unmapped": Report(r"page fault: read of <at> \(not present\)",
                       ["<at>: nothing", r"directory\[<directory>\] 0x00000000: not present"]),
    "text-write": Report(r"page fault: write to <at> \(present, read-only: kernel text\)",
                         page(r"kernel text: header\+0x0", READ_ONLY)),
    "rodata-write": Report(
        r"page fault: write to <at> \(present, read-only: kernel read-only data\)",
        page("kernel read-only data", READ_ONLY)),
    "divide": Report(r"divide error \(exception 0, error code 0x0\)"),
    "invalid-opcode": Report(r"invalid opcode \(exception 6, error code 0x0\)"),
    "undefined-behaviour": Report(
        r"invalid opcode: undefined behaviour in <me> \(kernel/shell/cmd_crash\.c:\d+\)"),
    "assert": Report(r"assertion failed: two \+ two == 5 \(kernel/shell/cmd_crash\.c:\d+\)"),
    "stack-smash": Report("stack smash in <me>: it wrote beyond an array on its stack",
                          calls="__stack_chk_fail <me> command_crash"),
    "stack-overflow": Report(OVERFLOW, GUARD, "... <me>* command_crash"),
    "interrupt-read": Report(r"page fault: read of NULL \(<at>, not present\)", NULL,
                             f"crash_null_read {IN_INTERRUPT}"),
    "interrupt-overflow": Report(OVERFLOW, GUARD, f"... crash_stack_overflow* {IN_INTERRUPT}"),
    "double-free": Report("kfree: double free of <at>, which lies in free memory",
                          heap("byte 0 of the block at <at>, 112 bytes, free", "allocated", "freed"),
                          BY_KFREE),
    "invalid-free": Report("kfree: invalid free of <at>, which lies inside a block",
                           heap("byte 8 of the block at <at-8>, 112 bytes, used", "allocated"),
                           BY_KFREE),
    "heap-overflow": Report("kfree: heap overflow: something wrote behind the block at <at>, "
                            "which has 20 bytes",
                            heap("byte 0 of the block at <at>, 32 bytes, used", "allocated"),
                            BY_KFREE),
    "heap-underflow": Report("kfree: heap underflow: the head of the block at <at> is smashed: "
                             "0x00000000",
                             heap("the head of the block at <at> is smashed, and hides it"),
                             BY_KFREE),
    "frame-double-free": Report(f"pmm_free_frame: double free of the frame {HEX}, which is free",
                                calls=BY_PMM),
    "frame-invalid-free": Report("pmm_free_frame: invalid free of 0x00100000, which is not a frame "
                                 "that was handed out", calls=BY_PMM),
    "frame-wrong-owner": Report(f"pmm_free_frame: wrong owner: the frame {HEX} belongs to: kernel, "
                                "and was given back by: drivers",
                                calls="... pmm_free_frame_of <me> command_crash"),
}

CHECKED = {
    "use-after-free": Report("use after free: read of 4 bytes at <at> by <me>",
                             details=block(8, 40, "fd", freed=True)),
    "heap-overread": Report("heap overflow: read of 1 byte at <at> by <me>",
                            details=block(13, 13, "05")),
    "heap-underread": Report("heap underflow: read of 4 bytes at <at> by <me>",
                             details=block(-4, 100, "fa")),
    "heap-overflow": Report("heap overflow: write of 1 byte at <at> by <me>",
                            details=block(20, 20, "04")),
    "heap-underflow": Report("heap underflow: write of 4 bytes at <at> by <me>",
                             details=block(-4, 400, "fa")),
    "free-overwrite": Report("use after free: written to after it was freed was the block at <at>",
                             calls="... check_heap_drain <me> command_crash",
                             details=block(0, 100, "fd", freed=True)),
    "double-free": Report("kfree: double free of <at>, which was freed already", calls=BY_KFREE,
                          details=block(0, 100, "fd", freed=True)),
    "invalid-free": Report("kfree: invalid free of <at>, which lies inside a block", calls=BY_KFREE,
                           details=block(8, 100, "00")),
    "global-overflow": Report(
        "global out of bounds: write of 4 bytes at <at> by <me>",
        details=variable(f"global numbers of {LOCKS}", 20, 20, "04")),
    "memcpy-overflow": Report(
        "global out of bounds: write of 32 bytes at <at-20> by memcpy in <me>",
        calls="memcpy <me> command_crash",
        details=variable(f"global numbers of {LOCKS}", 20, 20, "04")),
    "stack-out-of-bounds": Report(
        "stack out of bounds: read of 1 byte at <at> by <me>",
        details=variable("variable local of <me>", 10, 10, "02")),
    "stack-smash": Report(
        "stack out of bounds: write of 4 bytes at <at> by <me>",
        details=variable("variable words of <me>", 16, 16, "f3")),
    "lock-twice": Report(f"lock taken twice: spinlock spinlock of {LOCKS}",
                         calls="... <me> command_crash",
                         details=trace("it was taken", "<me> command_crash")),
    "lock-order": Report(
        f"lock order inverted: mutex second of {LOCKS}, then mutex first of {LOCKS}",
        calls="... mutex_lock ... <me> command_crash",
        details=[line for what in ("the first was taken", "before, the second was taken",
                                   "and while it was held, the other one")
                 for line in trace(what, "mutex_lock ... <me> command_crash")]),
    "lock-sleep": Report(f"sleeping while a lock is held: spinlock spinlock of {LOCKS}",
                         calls="... thread_sleep <me> command_crash",
                         details=trace("it was taken", "<me> command_crash")),
    "lock-foreign": Report(f"lock released by another thread: mutex first of {LOCKS}",
                           calls="... mutex_unlock <me> command_crash",
                           details=trace("it was taken", "mutex_lock take_and_end", "owner")),
    "irq-off-long": Report("interrupts off for too long: 10000000 accesses to memory",
                           details=trace("interrupts were turned off", "<me> command_crash")),
}
ONLY_CHECKED = CHECKED.keys() - REPORTS.keys()

if images.CHECKING:
    REPORTS.update(CHECKED)


# ---- Comparing ---------------------------------------------------------------------------------

NAME = re.compile(r"<(\w+)([-+]\d+)?>")


def lines_of(kind, whole=True):
    """The whole report, as patterns; a small screen has no room for the last calls."""
    report = REPORTS[kind]
    cr2 = "<at>" if report.title.startswith("page fault") else HEX
    where = ", in an interrupt" if kind.startswith("interrupt") else ""
    return [f"PANIC: {report.title}",
            f"eax {HEX}  ebx {HEX}  ecx {HEX}  edx {HEX}",
            f"esi {HEX}  edi {HEX}  ebp {HEX}  esp {HEX}",
            f"eip {HEX}  eflags {HEX}  cs 0x0008  ds 0x0010  es 0x0010",
            f"cr0 {HEX}  cr2 {cr2}  cr3 {HEX}  cr4 {HEX}  thread shell{where}",
            *report.about,
            *calls(report.calls + (" ... shell_run ... thread_begin" if whole else " ...")),
            *report.details,
            "the log's last lines:", "  .+", "...  .+",
            "The machine is halted."]


class Matcher:
    """Compares lines with patterns, and remembers what address they are about."""

    def __init__(self, function):
        self.function = function
        self.at = None

    def _name(self, name, offset):
        """What a name stands for; the address that is not known yet: a group that finds it."""
        if name == "me":
            return self.function
        if self.at is None:
            return f"(?P<seen>{HEX})"
        numbers = {"directory": self.at >> 22, "table": self.at >> 12 & 1023,
                   "column": self.at % 128 // 8}
        places = {"at": self.at, "page": self.at & ~0xfff, "row": self.at & ~127}
        return str(numbers[name]) if name in numbers else f"0x{places[name] + offset:08x}"

    def fits(self, pattern, line):
        """Whether the line is of that pattern."""
        names = [(name, int(offset or 0)) for name, offset in NAME.findall(pattern)]
        filled = NAME.sub(lambda _, named=iter(names): self._name(*next(named)), pattern)
        match = re.fullmatch(filled, line)
        if match and "seen" in match.groupdict():
            self.at = int(match["seen"], 16) - dict(names)["at"]
        return bool(match)


def assert_lines(lines, patterns, function):
    """Each line is what is expected there, and no line is left over."""
    matcher, lines, many = Matcher(function), list(lines), None
    for pattern in patterns:
        if pattern.startswith("..."):
            many = pattern[3:]
            continue
        while lines and not matcher.fits(pattern, lines[0]):
            assert many and matcher.fits(many, lines[0]), f"{lines[0]!r} is not {pattern!r}"
            del lines[0]
        assert lines, f"there is no {pattern!r}"
        del lines[0]
        many = None
    assert not lines


def assert_report(kind, report, whole=True):
    """The report is the one of that kind, and each list of calls is numbered from 0."""
    assert_lines(report, lines_of(kind, whole), "crash_" + kind.replace("-", "_"))
    number = 0
    for line in report:
        call_number = re.match(r"#(\d+) ", line)
        assert not call_number or int(call_number[1]) == number, f"{line!r} is call {number}"
        number = number + 1 if call_number else 0
