"""Fixtures of the boot tests."""
import signal

import pytest

import images
from machine import Machine, describe


LONGEST = 400           # seconds; no test takes a tenth of it


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
