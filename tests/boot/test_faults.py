"""What the kernel says of its own faults where a report has little to stand on, and of any address.

test_crash.py has the reports of all kinds.
"""
import re
import subprocess

import pytest

import images
from console import to_lines
from memory_model import STACK_SIZE, block_size
from reports import CALL, HEX


def symbols():
    """Addresses of the kernel's symbols, by name."""
    with open(images.BUILD / "roninos.sym", encoding="utf-8") as file:
        return {name: int(address, 16) for address, _, name in map(str.split, file)}


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


# ---- Where a report has the least to stand on --------------------------------------------------

def gdb_server(folder):
    """Options for a machine that a debugger can connect to."""
    return ["-gdb", f"unix:{folder}/gdb,server=on,wait=off"]


def debug(folder, *commands):
    """Has gdb run commands on the machine, which goes on after them."""
    commands = ["set architecture i386", f"target remote {folder}/gdb", *commands, "detach"]
    subprocess.run(["gdb", "-q", "-batch", images.BUILD / "roninos.elf",
                    *[word for command in commands for word in ("-ex", command)]],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120, check=True)


def report_of(machine):
    """The last report, without line breaks, once the machine stands still."""
    machine.wait_for("The machine is halted.")
    machine.wait_halted()
    text = bytes(machine.received).decode(errors="replace")
    return to_lines(text[text.rindex("PANIC: "):].encode())


def calls_of(report):
    return [match[3] for match in map(CALL.fullmatch, report) if match]


# Where the boot is broken into, what it goes on with there, and what the report then says.
EARLY = {
    "before any output": ("serial_init", "crash_divide", "PANIC: divide error"),
    "before the memory map": ("pmm_init", "crash_divide", "PANIC: divide error"),
    # In the checking build a red zone takes what is to smash the stack, and is not looked at yet.
    "before paging": ("paging_init", "crash_divide", "PANIC: divide error") if images.CHECKING else
                     ("paging_init", "crash_stack_smash", "PANIC: stack smash in crash_stack_smash"),
    "before the heap": ("heap_init", "crash_text_write", "PANIC: page fault: write to"),
    "before the scheduler": ("sched_init", "crash_stack_overflow",
                             r"PANIC: stack overflow in thread idle \(boot\)"),
    "in the idle thread": ("timer_idle", "crash_stack_overflow",
                           r"PANIC: stack overflow in thread idle \(boot\)"),
}


@pytest.mark.parametrize("moment", [pytest.param(moment, marks=pytest.mark.quick if moment in (
    "before any output", "before the scheduler") else pytest.mark.full) for moment in EARLY])
def test_early_in_the_boot(start, tmp_path, moment):
    """The report needs neither paging, heap nor threads, and no output that is there already."""
    function, crash_function, title = EARLY[moment]
    machine = start(extra=["-S", *gdb_server(tmp_path)])
    debug(tmp_path, f"hbreak {function}", "continue", f"set $eip = {crash_function}", "delete")
    report = report_of(machine)
    assert re.match(title, report[0])
    assert "thread idle" in report[4 - (len(report[1:4]) < 3)]
    assert calls_of(report)[0] in (crash_function, "__stack_chk_fail")
    if "overflow" in crash_function:
        assert re.fullmatch(f"{HEX}: guard page below the stack of thread idle .boot.", report[5])


@pytest.mark.full
def test_a_heap_that_is_broken(boot, tmp_path):
    """A figure of the heap that leads to where nothing is: whoever follows it faults and is named."""
    machine = boot(extra=gdb_server(tmp_path))
    assert "used" in machine.command("who 18000010")[0]
    debug(tmp_path, "set var first_fit.mapped = 0x30000000",
          "set var first_fit.top = 0x20000000", "set var first_fit.outside = 0x20000000",
          "set var first_fit.outside_size = 4096")
    assert re.fullmatch("0x18000010: heap, whose own figures are broken.*",
                        machine.command("who 18000010")[0])
    machine.send("crash double-free\r")
    report = report_of(machine)
    assert re.match(f"PANIC: page fault: write to {HEX} .not present", report[0])
    assert re.fullmatch(f"{HEX}: heap, whose own figures are broken.*", report[5])
    assert "crash_double_free" in calls_of(report)


@pytest.mark.full
def test_a_head_that_is_smashed(boot, tmp_path):
    machine = boot(extra=gdb_server(tmp_path))
    block = int(machine.one_line("kmalloc 1000"), 16)
    debug(tmp_path, f"set *(int *){block - 4} = 0x41414141")
    assert machine.command(f"who {block:x}")[0] == \
        f"0x{block:08x}: heap: the head of the block at 0x{block:08x} is smashed, and hides it"


@pytest.mark.full
@pytest.mark.parametrize("part", range(4))
def test_a_part_of_the_report_that_faults_is_left_out(boot, tmp_path, part):
    """Registers, address, calls, log: a function that only one of them calls is made to fault."""
    function = ["thread_name", "address_describe", "backtrace_walk", "log_tail"][part]
    machine = boot(extra=gdb_server(tmp_path))
    debug(tmp_path, f"set *(short *){function} = 0x0b0f")       # UD2
    machine.send("crash null-read\r")
    report = report_of(machine)
    assert b"(a second panic while this one was being reported)" in machine.received
    assert report[0].startswith("PANIC: page fault: read of NULL")
    has = ["thread" in report[4], any(line.startswith("0x00000000: ") for line in report),
           bool(calls_of(report)), "the log's last lines:" in report]
    assert has == [other != part for other in range(4)]


@pytest.mark.full
def test_a_thread_that_was_overwritten(boot, tmp_path):
    machine = boot(extra=gdb_server(tmp_path))
    debug(tmp_path, "set var current = 0x90000000", "set var owners[1] = 0x90000000",
          "set $eip = crash_null_read")
    report = report_of(machine)
    assert report[4].endswith("thread ?")


# ---- who ---------------------------------------------------------------------------------------

if images.CHECKING:
    FIRST_IN_HEAP = r"heap: red zone before the block at 0x180000[0-9a-f]+, \d+ bytes, used"
    SHADOW_OF_NOTHING = "shadow memory: what may be touched of the 8 bytes at 0xffff8000"
else:
    FIRST_IN_HEAP = r"heap: byte 0 of the block at 0x18000008, \d+ bytes, used"
    SHADOW_OF_NOTHING = "room that is kept for the checking build's shadow memory"


@pytest.mark.quick
def test_who_says_what_an_address_is(machine):
    """The map of the address space, from one end to the other."""
    place = symbols()
    for address, what in [
            (0x10, "page 0, .*NULL.*"),
            (0xb8000, "VGA memory"),
            (0xf0000, "low memory, .*"),
            (place["kfree"] + 3, r"kernel text: kfree\+0x3 kernel/[a-z/]+\.c:\d+"),
            (place["_rodata_start"], "kernel read-only data"),
            (place["__stack_chk_guard"], r"kernel data: variable __stack_chk_guard\+0x0"),
            (place["_bss_start"], "kernel data that is zero at start .*"),
            (place["page_directory"] + 4 * 0x18000000 // 0x400000,
             "page directory: the entry for 0x18000000"),
            (place["_boot_stack_guard"], r"guard page below the stack of thread idle \(boot\)"),
            (place["_boot_stack_top"] - 100, r"stack of thread idle \(boot\), 100 bytes below .*"),
            (0x4000000, "RAM by identity mapping: .*"),
            (0x18000008, FIRST_IN_HEAP),
            (0x18000004, r"heap: the head of the block at 0x18000008, \d+ bytes, used"),
            (0x30000000, "heap: not mapped yet, .*"),
            (0x38800000, "the heap's index, not mapped yet"),
            (0x39000000, "guard page below the stack of thread reaper"),
            (0x39001000 + STACK_SIZE - 4, "stack of thread reaper, 4 bytes below its end"),
            (0x3fb00000, "room for stacks: .*"),
            (0x40000000, f"window .*, 0x40000000 - {HEX}"),
            (0x7ffff000, "room for windows: .*"),
            (0x9ffff000, SHADOW_OF_NOTHING),
            (0xffffffff, "nothing")]:
        said = machine.command(f"who {address:x}")
        assert re.fullmatch(f"0x{address:08x}: {what}", said[0])
        entries = [line for line in said if not line.startswith("allocated by ")]
        assert entries[1].startswith(f"directory[{address >> 22}] ")
        leads_to_table = ", table 0x" in entries[1]
        assert [line.startswith(f"table[{address >> 12 & 1023}] ") for line in entries[2:]] == \
            [True] * leads_to_table
        if not (images.CHECKING and "the head" in said[0]):
            assert (len(entries) < len(said)) == (" used" in said[0])


@pytest.mark.quick
def test_who_knows_free_and_used_blocks(machine):
    block = int(machine.one_line("kmalloc 5000"), 16)
    assert machine.command(f"who {block + 8:x}")[0].endswith(
        f": heap: byte 8 of the block at 0x{block:08x}, {block_size(5000)} bytes, used")
    machine.command(f"kfree {block:x}")
    # What it has become part of depends on what lies beside it.
    assert re.search(r": heap: (byte \d+ of the block at .*, free$|free, the rest from )",
                     machine.command(f"who {block + 8:x}")[0])


@pytest.mark.quick
def test_who_reads_the_tables_as_they_are(machine):
    frame = machine.one_line("frame alloc")
    machine.command(f"map b0000000 {frame} ro")
    what, directory, table = machine.command("who b0000004")
    assert what == "0xb0000004: nothing of the kernel's: mapped in the memory laboratory"
    assert re.fullmatch(rf"directory\[704\] {HEX}: present, writable, table {HEX}", directory)
    assert re.fullmatch(rf"table\[0\] {HEX}: present, read-only, frame {frame}", table)
    assert machine.command(f"who {frame}")[0] == \
        f"{frame}: RAM by identity mapping: a frame, its owner: laboratory"
    machine.command("peek b0000000")
    assert ", accessed, frame" in machine.command("who b0000004")[2]
    machine.command("unmap b0000000")
    machine.command(f"frame free {frame}")


@pytest.mark.quick
def test_who_names_variables(machine):
    """From its first byte to its last, and not what lies between two of them."""
    rows = [line.split() for line in (images.BUILD / "variables.txt").read_text().splitlines()]
    variables = [(int(start, 16), int(start, 16) + int(size, 16), name) for start, size, name in rows]
    for (start, end, name), (following, *_) in list(zip(variables, variables[1:]))[5::13]:
        if name in ("page_directory", "pool"):
            continue            # page tables say more of themselves
        name = re.escape(re.sub(r"\.\d+$", "", name))
        assert re.search(rf": kernel .*: (variable|constant) {name}\+0x0$",
                         machine.command(f"who {start:x}")[0])
        assert re.search(rf" {name}\+0x{end - start - 1:x}$", machine.command(f"who {end - 1:x}")[0])
        if end < following:
            assert not re.search(" (variable|constant) ", machine.command(f"who {end:x}")[0])


@pytest.mark.full
def test_every_line_that_the_kernel_knows_is_the_linkers(machine):
    """What `who` says of each function's first and last byte, and in between, is what addr2line says."""
    lines = (images.BUILD / "lines.txt").read_text().splitlines()
    for row in lines[::401]:
        address, file, line = row.split()
        said = machine.command(f"who {address}")[0]
        if file == "?":
            assert ": kernel text: " in said and ":" not in said.split("+")[1]
        else:
            assert said.endswith(f" {file}:{line}")
