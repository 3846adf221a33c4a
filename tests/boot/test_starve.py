"""Memory that runs out, on purpose: one request fails, or all from one on, or all frames are taken.

Whatever fails says so in a line, gives back what it had, and the shell goes on. Every request of a
boot, of a command or of a device that is plugged in has its turn.
"""
import re

import pytest

import images
from console import COLOUR
from memory_model import PAGE, SHADOW, STACK_SIZE, meminfo

XHCI = ["-device", "qemu-xhci,id=usb", "-device", "usb-hub,bus=usb.0,port=1",
        "-device", "usb-kbd,bus=usb.0,port=1.2", "-device", "usb-kbd,bus=usb.0,port=2"]
OTHERS = ["-device", "usb-ehci,id=ehci", "-device", "usb-kbd,bus=ehci.0",
          "-device", "piix3-usb-uhci,id=uhci", "-device", "usb-kbd,bus=uhci.0",
          "-device", "pci-ohci,id=ohci", "-device", "usb-kbd,bus=ohci.0"]
MACHINES = {"plain": {}, "xhci": {"machine": "q35", "extra": XHCI},
            "others": {"machine": "q35", "extra": OTHERS}}
UEFI = {firmware: {"firmware": firmware, "extra": XHCI} for firmware in ("uefi", "uefi32")}
OUTCOME = re.compile(rb"PANIC: [^\r]*\r|(?<![^\n])(?:\x1b\[[0-9;]*m)*ronin> (?:\x1b\[[0-9;]*m)*")
TOO_LITTLE = re.compile("PANIC: (too little memory: .+|memory smoke test: FAIL .+)")
EXCUSE = re.compile(b"no memory|not enough memory|too little memory|cannot be |is not used|does not")
STACK_FRAMES = int(STACK_SIZE // PAGE * (1 + SHADOW) + 1/2)
MOST = 200          # requests of a boot; far more than there are
PARTS = 4           # in which they have their turn


def starved(machine, at, mode, line):
    """Runs a command without request `at`: its own output, and whether a request failed."""
    *output, failures, left = machine.command(f"starve {at} {mode}{line}")
    assert re.match("starve: (no request failed|request [0-9]+ failed|[0-9]+ requests? failed|"
                    "the command has set another)", failures)
    return output, "no request failed" not in failures, left


def nothing_left(machine):
    """Whether no frame has been left behind since the mark; the heap may keep some for later."""
    changes = machine.command("leaks diff")
    return changes == ["nothing has changed since the mark"] or \
        all(line.startswith("frames of heap: ") for line in changes)


# ---- The command -------------------------------------------------------------------------------

@pytest.mark.quick
def test_one_request_fails(machine):
    assert machine.command("starve 2")[0] == "starve: request 2 will fail"
    block = machine.one_line("kmalloc 5000")
    assert machine.one_line("kmalloc 5000") == "0"
    standing = machine.command("starve")
    assert standing[0] == "starve: off" and standing[1].startswith("starve: request 2 failed")
    another = machine.one_line("kmalloc 5000")
    for address in (block, another):
        assert machine.one_line(f"kfree {address}") == "ok"


@pytest.mark.quick
def test_all_requests_fail(machine):
    assert machine.command("starve 1 forever")[0].endswith("and all behind it")
    for _ in range(3):
        assert machine.one_line("kmalloc 10") == "0"
        assert machine.one_line("frame alloc") == "0"
    assert re.match("error: .*no memory", machine.one_line("sleep 1 &"))
    machine.command("starve off")
    address = machine.one_line("kmalloc 10")
    assert machine.one_line(f"kfree {address}") == "ok"


@pytest.mark.quick
@pytest.mark.parametrize("line", ["starve 0", "starve 1 starve 2", "starve -1", "starve on",
                                  "starve off 1"])
def test_nonsense_is_refused(machine, line):
    assert re.match("usage: |error: ", machine.command(line)[0])
    assert machine.command("starve")[0] == "starve: off"


# ---- Commands without memory -------------------------------------------------------------------

# What gives something that is to be kept, and how it is given back.
KEPT = {"frame alloc": "frame free {}", "kmalloc 10": "kfree {}", "kmalloc 200000": "kfree {}",
        "map a0000000 b8000 ro": "unmap a0000000"}
# Not one after another: what ends the machine, waits for keys, or tests for minutes.
OTHERWISE = {"crash", "poweroff", "reboot", "keys", "selftest", "heap_test", "bench", "starve"}
WORDS = {"sleep": "sleep 0.01", "kill": "kill nobody", "kfree": "kfree 1234", "unmap": "unmap 1000",
         "translate": "translate 18000000", "peek": "peek 100000 4", "poke": "poke 1000 1",
         "frame": "frame alloc", "kmalloc": "kmalloc 10", "map": "map a0000000 b8000 ro"}


def all_commands(machine):
    names = [line.split()[0] for line in machine.command("help")]
    return [WORDS.get(name, name) for name in names if name not in OTHERWISE] + ["kmalloc 200000"]


def assert_one_error(output):
    assert output == ["0"] or len(output) == 1 and output[0].startswith("error: "), output


def starve_command(machine, line, mode):
    """Without its first request, its second, ...: a line says so, and nothing is left behind."""
    for at in range(1, MOST):
        output, failed, left = starved(machine, at, mode, line)
        if not failed:
            break
        assert left == "starve: nothing is left behind", (line, at)
        assert_one_error(output)
    assert not failed
    if line in KEPT:
        assert machine.one_line(KEPT[line].format(output[0])) == "ok"
    else:
        assert left == "starve: nothing is left behind", line


@pytest.mark.quick
@pytest.mark.parametrize("mode", ["", "forever "])
def test_commands(boot, mode):
    machine = boot(images.make_image("", {"file": ("a module", images.noise(300000))}), **MACHINES["xhci"])
    machine.command("leaks mark")
    for line in all_commands(machine):
        starve_command(machine, line, mode)
    assert nothing_left(machine)


@pytest.mark.quick
def test_a_command_in_the_background(machine):
    """A block for its words, its thread's record, and the stack's pages, each in turn."""
    before = meminfo(machine)
    for at in range(1, MOST):
        machine.command(f"starve {at}")
        output = machine.command("sleep 0 &")
        if machine.command("starve off")[1].startswith("starve: no request failed"):
            break
        assert output == ["error: no memory for another thread"]
        assert meminfo(machine)["HeapBlocks"] == before["HeapBlocks"]
    assert at > 2 + STACK_FRAMES and output == []


@pytest.mark.full
def test_long_commands(boot):
    """What makes thousands of requests: here and there one fails."""
    machine = boot(memory="32M")
    for line in ("bench", "heap_test", "selftest"):
        for at in (1, 2, 5, 9, 13, 50, 120, 300, 1000, 3000, 8000):
            for mode in ("", "forever "):
                *_, left = starved(machine, at, mode, line)
                assert left == "starve: nothing is left behind", (line, at, mode)
    assert re.fullmatch(r"\d+ passed, 0 failed", machine.command("selftest")[-1])


# ---- All frames taken --------------------------------------------------------------------------

def fill(machine):
    """Takes all there is; returns the blocks."""
    assert re.fullmatch("[1-9][0-9]* frames", machine.one_line("frame alloc all"))
    blocks = []
    for size in (1000, 100, 8):
        while (address := machine.one_line(f"kmalloc {size}")) != "0":
            blocks.append(address)
    return blocks


@pytest.mark.quick
def test_with_all_frames_taken(boot):
    machine = boot(**MACHINES["xhci"])
    before = meminfo(machine)
    machine.command("leaks mark")
    blocks = fill(machine)
    assert meminfo(machine)["MemFree"] == 0
    for line in all_commands(machine):
        output = machine.command(line)
        if line in KEPT:
            assert_one_error(output)
    assert machine.one_line("frame alloc all") == "0 frames"
    assert machine.one_line("sleep 1 &") == "error: no memory for another thread"
    assert machine.command("heap_test")[-1].startswith("heap_test: ")
    assert machine.command("bench")[-1].startswith("error: no memory to measure")

    for address in blocks:
        assert machine.one_line(f"kfree {address}") == "ok"
    assert re.fullmatch("[1-9][0-9]* frames", machine.one_line("frame free all"))
    after = meminfo(machine)
    assert after["HeapBlocks"] == before["HeapBlocks"]
    assert after["MemFree"] + after["HeapTotal"] == before["MemFree"] + before["HeapTotal"]
    assert starved(machine, 1000, "", "echo")[2] == "starve: nothing is left behind"


@pytest.mark.full
def test_selftest_with_all_frames_taken(boot):
    """Most tests fail, none loses anything, and with memory all pass again."""
    machine = boot(memory="32M")
    machine.command("leaks mark")
    machine.command("frame alloc all")
    assert re.fullmatch(r"\d+ passed, [1-9]\d* failed", machine.command("selftest")[-1])
    machine.command("frame free all")
    assert machine.command("leaks diff") == ["nothing has changed since the mark"]
    assert re.fullmatch(r"\d+ passed, 0 failed", machine.command("selftest")[-1])


@pytest.mark.full
def test_high_frames_are_taken_too(boot):
    machine = boot(memory="513M")
    before = meminfo(machine)
    machine.command("frame alloc all")
    assert meminfo(machine)["MemFree"] == 0
    machine.command("frame free all")
    assert meminfo(machine) == before


@pytest.mark.quick
def test_a_mapped_frame_stays(machine):
    before = meminfo(machine)
    frame = machine.one_line("frame alloc")
    assert machine.one_line(f"map a0000000 {frame}") == "ok"
    assert machine.one_line("frame free all") == f"error: {frame} is still mapped at 0xa0000000"
    assert machine.one_line("unmap a0000000") == "ok"
    assert machine.one_line("frame free all") == "1 frames"
    assert machine.one_line("frame free all") == "0 frames"
    assert meminfo(machine) == before


# ---- Frames by owner ---------------------------------------------------------------------------

def owned(machine):
    """Frames by owner, as `leaks` lists them."""
    lines = machine.command("leaks")
    title, *lines = lines[:lines.index("")]
    assert title.split() == ["frames", "of", "count", "KiB"]
    frames = {}
    for line in lines:
        owner, count, kib = re.fullmatch(r"([a-z ]+?) +(\d+) +(\d+)", line).groups()
        assert int(kib) == int(count) * PAGE // 1024
        frames[owner] = int(count)
    return frames


@pytest.mark.quick
def test_frames_have_owners(boot):
    machine = boot(**MACHINES["xhci"])
    figures, frames = meminfo(machine), owned(machine)
    assert list(frames) == ["reserved", "kernel", "page tables", "heap", "stacks", "drivers",
                            "laboratory"]
    assert sum(frames.values()) == figures["MemUsed"] * 1024 // PAGE
    assert frames["heap"] == figures["HeapTotal"] * 1024 // PAGE
    assert frames["page tables"] < figures["PageTables"] * 1024 // PAGE     # some are of the pool
    threads = len(machine.command("threads")) - 1
    assert frames["stacks"] == STACK_FRAMES * (threads - 1)        # the idle thread runs on the boot stack
    assert frames["drivers"] > 0 and frames["laboratory"] == 0

    assert machine.one_line("leaks diff").startswith("error: ")
    assert machine.one_line("leaks mark") == "ok"
    assert machine.one_line("leaks diff") == "nothing has changed since the mark"
    taken = [machine.one_line("frame alloc") for _ in range(3)]
    assert machine.one_line("map a0000000 b8000 ro") == "ok"
    assert machine.command("leaks diff") == ["frames of page tables: +1, +4 KiB",
                                             "frames of laboratory: +3, +12 KiB"]
    assert owned(machine)["laboratory"] == 3
    assert machine.one_line("leaks mark") == "ok"
    for frame in taken:
        machine.command(f"frame free {frame}")
    machine.command("unmap a0000000")
    assert machine.command("leaks diff") == ["frames of page tables: -1, -4 KiB",
                                             "frames of laboratory: -3, -12 KiB"]


# ---- The heap by place of allocation -------------------------------------------------------------

@pytest.mark.quick
def test_blocks_have_places(boot):
    """Each line a place in the code; together they are all that lives. A mark shows what is new."""
    machine = boot()
    lines = machine.command("leaks")
    title, *lines = lines[lines.index("") + 1:]
    assert title.split() == ["heap,", "allocated", "by", "count", "bytes"]
    places = [re.fullmatch(r"(\w+[\w.]*)\+0x[0-9a-f]+ +(\d+) +(\d+)", line) for line in lines]
    assert all(places), lines
    sizes = [int(place[3]) for place in places]
    assert sizes == sorted(sizes, reverse=True)
    assert sum(int(place[2]) for place in places) == meminfo(machine)["HeapBlocks"]
    assert any(place[1] == "thread_create" for place in places)

    machine.command("leaks mark")
    before = [machine.one_line("kmalloc 100") for _ in range(2)]
    machine.command("sleep 100 &")
    changes = machine.command("leaks diff")
    assert "heap by (the laboratory): +2, +200 bytes" in changes
    assert any(re.fullmatch(r"heap by thread_create\+0x\w+: \+1, \+\d+ bytes", line)
               for line in changes)
    machine.command("kill sleep")
    for address in before:
        machine.command(f"kfree {address}")


# ---- Devices that come -------------------------------------------------------------------------

CONTROLLERS = {"xhci": "qemu-xhci", "ehci": "usb-ehci", "uhci": "piix3-usb-uhci", "ohci": "pci-ohci"}


@pytest.mark.full
@pytest.mark.parametrize("controller", CONTROLLERS)
def test_a_keyboard_is_plugged_in(boot, controller):
    """One request fails: the next attempt brings it up. Pulled out, all has come back."""
    machine = boot(machine="q35", extra=["-device", f"{CONTROLLERS[controller]},id=usb"])
    machine.command("leaks mark")
    before = meminfo(machine)
    for at in range(1, MOST):
        machine.command(f"starve {at}")
        machine.plug("usb-kbd,id=keys,bus=usb.0")
        machine.wait_for("keyboard: USB, on ")
        machine.prompt()
        failed = "no request failed" not in machine.command("starve off")[1]
        machine.pull("keys")
        machine.wait_for(": gone")
        machine.prompt()
        for _ in range(100):        # what follows the message takes a moment
            if meminfo(machine)["HeapBlocks"] == before["HeapBlocks"]:
                break
        assert meminfo(machine)["HeapBlocks"] == before["HeapBlocks"], at
        assert nothing_left(machine), at
        if not failed:
            break
    assert at > 3


# ---- The boot ----------------------------------------------------------------------------------

def tree(machine):
    """What `usb` lists, without what the registers hold and in which order devices came."""
    return [re.sub(", address [0-9]+", "", line) for line in machine.command("usb")
            if re.search("ports$|port [0-9]+:|no USB", line)]


def whole_boot(start, kind):
    """What the machine with all it wants has: (devices, frames by owner)."""
    machine = start(images.make_image(), **(MACHINES | UEFI)[kind])
    machine.prompt()
    whole = tree(machine), owned(machine)
    machine.close()
    return whole


def assert_as_far_as_it_came(machine, whole):
    """At its prompt: all is there, or a line says what is not; and what is not has no memory."""
    there = tree(machine)
    if there != whole[0] and not EXCUSE.search(machine.received):
        machine.wait_for(EXCUSE)        # a device has four attempts
        machine.prompt()
        there = tree(machine)
    machine.command("starve off")
    frames = owned(machine)
    screen = STACK_FRAMES if b"screen: no memory" in machine.received else 0
    assert starved(machine, 1000, "", "echo")[2] == "starve: nothing is left behind"
    for owner in ("reserved", "kernel", "laboratory"):
        assert frames[owner] == whole[1][owner]
    if there == whole[0]:
        assert frames["drivers"] == whole[1]["drivers"]
        assert frames["stacks"] == whole[1]["stacks"] - screen
    else:
        assert frames["drivers"] < whole[1]["drivers"]
    if "no USB controllers" in there:
        assert frames["drivers"] == 0


def starving_image(path, at, mode):
    """An image that boots without a request: a made one with its number written over."""
    word = b"starve=%05d"
    made = images.make_image(word.decode() % 0 + mode).read_bytes()
    assert word % 0 in made
    path.write_bytes(made.replace(word % 0, word % at))
    return path


def boot_starved(start, kind, image, whole):
    """Boots without a request. Whether one failed."""
    machine = start(image, **(MACHINES | UEFI)[kind])
    outcome = machine.wait_for(OUTCOME)[0]
    machine.firmware_talks = False      # any more
    if outcome.startswith(b"PANIC"):
        assert TOO_LITTLE.fullmatch(COLOUR.sub("", outcome.decode()).rstrip())
        machine.wait_halted()
        failed = True
    else:
        failed = "no request failed" not in machine.command("starve")[-1]
        assert_as_far_as_it_came(machine, whole)
    machine.close()
    return failed


@pytest.mark.quick
@pytest.mark.parametrize("kind, at", [("plain", 1), ("plain", 15), ("xhci", 28), ("xhci", 34),
                                      ("xhci", 43), ("xhci", 53), ("xhci", 64)])
def test_a_boot_without_a_request(start, tmp_path, kind, at):
    image = starving_image(tmp_path / "image.iso", at, "")
    assert boot_starved(start, kind, image, whole_boot(start, kind))


@pytest.mark.full
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("mode", ["", ",forever"])
@pytest.mark.parametrize("kind", MACHINES)
def test_every_request_of_a_boot(start, tmp_path, kind, mode, part):
    whole = whole_boot(start, kind)
    for at in range(1 + part, MOST, PARTS):
        if not boot_starved(start, kind, starving_image(tmp_path / "image.iso", at, mode), whole):
            break
    assert 30 < at < MOST - PARTS


@pytest.mark.full
@pytest.mark.parametrize("mode", ["", ",forever"])
@pytest.mark.parametrize("firmware", UEFI)
def test_a_boot_by_uefi_without_a_request(start, tmp_path, firmware, mode):
    """Tables and the framebuffer lie elsewhere there, so that other requests are for them."""
    whole = whole_boot(start, firmware)
    for at in (1, 2, 9, 20, 34, 53):
        assert boot_starved(start, firmware, starving_image(tmp_path / "image.iso", at, mode), whole)
