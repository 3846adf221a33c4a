"""Fixtures of the boot tests."""
import signal

import pytest

import images
from machine import Machine, describe


LONGEST = 400           # seconds; no test takes a tenth of it


# What an image cannot pass, and why.
TOO_LARGE = images.CHECKING or images.COMPILED_BY.startswith("clang") and "-O0" in images.COMPILED_BY
CANNOT = [
    (TOO_LARGE, "GRUB cannot load so large an image into 4 MiB", [
        "test_ram[4M", "test_selftest_on_little_and_much_memory[4M", "SeaBIOS, pc, 4M]",
        "test_bench_with_too_little_memory"]),
    (images.CHECKING, "the checking build's blocks, stacks and their shadow are larger", [
        "test_the_heap_grows_by_frames_and_gives_them_back", "test_frames_have_owners",
        "test_modules_survive_a_heap_that_takes_all_memory[16M]",
        "test_a_boot_without_a_request", "test_every_request_of_a_boot",
        "test_who_says_what_an_address_is"]),
    (images.CHECKING, "who allocated what the checking build knows of its own blocks only, not of the "
     "laboratory's", ["test_blocks_have_places"]),
]


def pytest_collection_modifyitems(items):
    for applies, reason, names in CANNOT:
        for item in items if applies else ():
            if any(name in item.name for name in names):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def bounded():
    """A test that never ends fails: whatever it waits for in vain is in the traceback."""
    def give_up(*_):
        raise TimeoutError(f"not done after {LONGEST} seconds")

    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(LONGEST)
    yield
    signal.alarm(0)


class Shared:
    """One booted machine for all tests that leave it as they found it; booted anew if it died."""

    def __init__(self, image=None):
        self.image = image
        self.machine = None

    def get(self):
        if self.machine and self.machine.process.poll() is not None:
            self.close()
        if not self.machine:
            self.machine = Machine(self.image)
            self.machine.prompt()
        return self.machine

    def close(self):
        if self.machine:
            self.machine.close()
        self.machine = None


@pytest.fixture(scope="session")
def shared():
    holder = Shared()
    yield holder
    holder.close()


@pytest.fixture(scope="session")
def shared_text():
    holder = Shared(images.make_image(video="text"))
    yield holder
    holder.close()


def lend(holder, request):
    """The holder's machine for a test. One that fails does not leave it to the next."""
    yield holder.get()
    if request.node.failed:
        holder.close()


@pytest.fixture
def machine(shared, request):
    """The shared machine at its prompt."""
    yield from lend(shared, request)


@pytest.fixture
def text_machine(shared_text, request):
    """The same in VGA text mode."""
    yield from lend(shared_text, request)


@pytest.fixture
def start():
    """A function that starts a machine of the test's own, which ends with the test."""
    machines = []

    def start_machine(*args, **options):
        machines.append(Machine(*args, **options))
        return machines[-1]

    yield start_machine
    for started in machines:
        started.close()


@pytest.fixture
def boot(start):
    """The same, and waits for the prompt."""
    def boot_machine(*args, **options):
        started = start(*args, **options)
        started.prompt()
        return started

    return boot_machine


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    item.failed = getattr(item, "failed", False) or report.failed
    if report.failed:
        report.sections += [describe(running) for running in Machine.running]
