"""Each kind of `crash` in a boot of its own, its report compared line by line.

In the normal build and, by make CHECK=1 or as a variant, in the checking build.
"""
import pytest

import images
from reports import ONLY_CHECKED, REPORTS, assert_report, crash

QUICK = {"null-read", "null-call", "text-write", "assert", "stack-overflow", "undefined-behaviour",
         "interrupt-overflow", "double-free", "heap-overflow",
         "use-after-free", "stack-out-of-bounds", "lock-order"}


def marks(kind):
    chosen = [pytest.mark.quick if kind in QUICK else pytest.mark.full]
    return chosen + [pytest.mark.variant] * images.CHECKING


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=marks(kind)) for kind in REPORTS])
def test_report(boot, kind):
    machine = boot()
    report = crash(machine, kind)
    assert_report(kind, report)
    assert_screen_shows(machine, report)


@pytest.mark.parametrize("kind", [pytest.param("null-write", marks=pytest.mark.quick),
                                  pytest.param("interrupt-overflow", marks=pytest.mark.full)])
def test_report_in_text_mode(boot, kind):
    """With all of its calls the longest would not fit: so many are shown that the first line stays."""
    machine = boot(images.make_image(video="text"))
    report = crash(machine, kind)
    assert_report(kind, report, whole=False)
    assert_screen_shows(machine, report, 25)


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


@pytest.mark.quick
def test_crash_lists_its_kinds(machine):
    """Those above and no other. Each says what it does, and whether it needs the checking build."""
    listed = dict(line.split(maxsplit=1) for line in machine.command("crash"))
    assert listed.keys() == REPORTS.keys() | ONLY_CHECKED
    needing = {kind for kind, says in listed.items() if says.endswith(" (needs the checking build)")}
    assert needing == (set() if images.CHECKING else ONLY_CHECKED)
    for kind in needing:
        assert machine.one_line(f"crash {kind}") == \
            f"error: {kind} needs the checking build: make CHECK=1"


@pytest.mark.quick
def test_an_unknown_kind_crashes_nothing(machine):
    assert machine.one_line("crash gently").startswith("error: unknown ")
