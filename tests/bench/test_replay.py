"""heap-replay: what it prints, what it refuses, and the heap against its model on whole traces."""
import itertools
import os
import struct
import subprocess

import pytest

import make_trace

pytestmark = pytest.mark.quick

BUILD = os.environ.get("RONINOS_BUILD", "build")
MAGIC = make_trace.MAGIC


def replay(*words):
    return subprocess.run([f"{BUILD}/host/heap-replay", *map(str, words)], capture_output=True,
                          text=True, check=False, timeout=300)


def packed(pairs, magic=MAGIC, count=None, slots=2, peak=0):
    """A trace file's bytes; a wrong `count` is told, not written."""
    words = [word for pair in pairs for word in pair]
    count = len(pairs) if count is None else count
    return struct.pack(f"<{4 + len(words)}I", magic, count, slots, peak, *words)


@pytest.fixture(name="trace")
def write_trace(tmp_path):
    def write(content, name="some.tr"):
        path = tmp_path / name
        path.write_bytes(content)
        return path
    return write


#     slot 0: 100 bytes, then 20    slot 1: 1000 bytes
SMALL = [(0, 100), (1, 1000), (0, 0), (0, 20), (1, 0)]


def test_figures(trace):
    done = replay(trace(packed(SMALL)))
    lines = [line.split() for line in done.stdout.splitlines()]
    assert [name for name, _ in lines] == ["ops", "peak_live", "footprint"]
    figures = {name: int(figure) for name, figure in lines}
    assert figures["ops"] == 5
    assert figures["peak_live"] == 1100
    assert figures["footprint"] >= 1100 + 2 * 4
    assert (done.returncode, done.stderr) == (0, "")


def test_slots_may_stay_unused(trace):
    """As in the beginning of a longer trace."""
    assert replay(trace(packed(SMALL, slots=100000))).stdout.startswith("ops 5\n")


def test_null_takes_nothing(trace):
    done = replay("--null", trace(packed(SMALL)))
    assert done.stdout == "ops 5\npeak_live 1100\nfootprint 0\n"


def test_first_operations_only(trace):
    done = replay("--first", 1, trace(packed(SMALL)))
    assert done.stdout.startswith("ops 1\npeak_live 100\n")


def test_placements_of_first_fit(trace):
    """The third block fits where the first one was."""
    done = replay("--no-small", "--placements", trace(packed(SMALL)))
    assert done.stdout.split("\n") == ["a 0x18000008", "a 0x18000070", "f", "a 0x18000008", "f", ""]


def test_samples(trace):
    lines = replay("--samples", 2, trace(packed(SMALL))).stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [["3", "1000"], ["5", "20"]]
    assert all(int(line.split()[2]) >= 1000 for line in lines)


def test_samples_go_on_where_the_last_ended(trace):
    growing = packed([(0, 100), (1, 1 << 20), (2, 2 << 20), (3, 4 << 20)], slots=4)
    samples = [line.split() for line in replay("--samples", 4, trace(growing)).stdout.splitlines()]
    assert len(samples) == 4
    for _, live, held in samples:
        assert int(live) < int(held) < int(live) + (1 << 20)


def test_compressed(trace, tmp_path):
    path = trace(packed(SMALL))
    subprocess.run(["xz", "-k", path], check=True)
    assert replay(tmp_path / "some.tr.xz").stdout == replay(path).stdout


@pytest.mark.parametrize("content, complaint", [
    (b"", "too short"),
    (packed(SMALL)[:15], "too short"),
    (packed(SMALL, magic=MAGIC + 1), "magic"),
    (packed(SMALL)[:-4], "shorter than its header"),
    (packed(SMALL, count=6), "shorter than its header"),
    (packed(SMALL, count=0xffffffff), "more operations than memory"),
    (packed(SMALL, count=4), "longer than its header"),
    (packed(SMALL) + b"x", "longer than its header"),
    (packed(SMALL, slots=0xffffffff), "more slots"),
    (packed([(0, 8), (2, 8)]), "operation 1 names a slot"),
    (packed([(0, 8), (1, 0)]), "operation 1 frees a slot that is empty"),
    (packed([(0, 8), (0, 0), (0, 0)], slots=1), "operation 2 frees a slot that is empty"),
    (packed([(0, 8), (0, 9)]), "operation 1 allocates into a slot that is full"),
    (packed([(0, 0xfffffff0), (1, 0x20)]), "operation 1 brings more to life"),
    (packed([(0, 8), (1, 0x7fffffff)]), "operation 1: no 2147483647 bytes"),
], ids=itertools.count())
def test_refuses(trace, content, complaint):
    """In one line that names what is wrong, and with status 1."""
    done = replay(trace(content))
    assert (done.returncode, done.stdout) == (1, "")
    assert complaint in done.stderr and done.stderr.count("\n") == 1


def test_refuses_what_xz_doubts(trace, tmp_path):
    """All operations came out, but the checksum behind them did not fit."""
    subprocess.run(["xz", trace(packed(SMALL))], check=True)
    compressed = bytearray((tmp_path / "some.tr.xz").read_bytes())
    compressed[-12 - 8 - 1] ^= 1        # before index and footer of the shortest kind
    done = replay(trace(bytes(compressed), "some.tr.xz"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "xz cannot read it" in done.stderr


def test_refuses_what_is_not_there(tmp_path, trace):
    for path in (tmp_path / "none.tr", tmp_path / "none.tr.xz",
                 trace(packed(SMALL), "not-compressed.tr.xz")):
        done = replay(path)
        assert (done.returncode, done.stdout) == (1, "")
        assert str(path) in done.stderr


@pytest.mark.parametrize("words", [
    [], ["--what", "x.tr"], ["x.tr", "y.tr"], ["--model", "--null", "x.tr"], ["x.tr", "--first"],
    ["--first", "0", "x.tr"], ["--samples", "3x", "x.tr"], ["--guarded", "--model", "x.tr"]])
def test_usage(words):
    done = replay(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: heap-replay")


def first_difference(left, right):
    """The first line in which two texts differ; all at once would be too much to show."""
    lines = itertools.zip_longest(left.splitlines(), right.splitlines())
    return next(((i, *pair) for i, pair in enumerate(lines, 1) if pair[0] != pair[1]), None)


@pytest.mark.parametrize("layer", [[], ["--no-small"]], ids=["small", "no-small"])
@pytest.mark.parametrize("kind", make_trace.KINDS)
def test_places_as_the_model_does(tmp_path, kind, layer):
    path = tmp_path / f"{kind}.tr"
    make_trace.made(kind, seed=3, operations=20000).write(path)
    heap = replay("--placements", *layer, path)
    model = replay("--placements", "--model", *layer, path)
    assert heap.returncode == model.returncode == 0
    assert heap.stdout.count("\n") >= 20000
    assert first_difference(heap.stdout, model.stdout) is None


def test_malloc_is_replayed_too(tmp_path):
    path = tmp_path / "mix.tr"
    make_trace.made("mix", seed=3, operations=5000).write(path)
    figures = replay("--malloc", path)
    assert figures.stdout.splitlines()[0].split()[0] == "ops" and "footprint" not in figures.stdout
    for line in replay("--malloc", "--samples", 10, path).stdout.splitlines():
        _, live, held = map(int, line.split())
        assert held >= live * 0.9


def test_worst_operations(trace):
    """Every operation is counted, and named where it is the worst of its kind."""
    path = trace(packed([(0, 2000), (1, 2000), (2, 2000), (0, 0), (1, 0), (2, 0)], slots=3))
    done = subprocess.run([f"{BUILD}/host/heap-worst", path], capture_output=True, text=True,
                          check=True, timeout=60)
    found = {words[0]: words for words in map(str.split, done.stdout.splitlines())}
    assert list(found) == ["alloc", "free", "with_pages"]
    assert sum(int(words[-1]) for words in found.values()) == 6
    for name, most, _, operation, _, size, _, mean, _, count in found.values():
        assert int(count) == 0 or 10 < float(mean) <= int(most) < 5000
        assert int(operation) in (range(3, 6) if name == "free" else range(3)) or not int(count)
        assert size in ("0", "2000")
