"""Counting instructions: a program under callgrind, and figures kept from one run to the next."""
import os
import re
import subprocess

GROWTH = 0.03       # what is less than this is not worth a line


class BenchError(Exception):
    """A count that could not be taken."""


def run(command, preload=None, timeout=600):
    """What a command prints; `preload`: a library whose malloc is to be its own."""
    # Symbols are bound before the start, so that no lookup is counted.
    environment = {**os.environ, "LD_BIND_NOW": "1", **({"LD_PRELOAD": preload} if preload else {})}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True,
                              errors="replace", timeout=timeout, check=False)
    except FileNotFoundError:
        raise BenchError(f"{command[0]} is not installed: `make deps` installs it") from None
    except subprocess.TimeoutExpired:
        raise BenchError(f"no end after {timeout} s: {' '.join(command)}") from None
    if done.returncode != 0:
        raise BenchError(f"exit status {done.returncode} from: {' '.join(command)}\n"
                         f"{done.stdout}{done.stderr}")
    return done


def number(text, name):
    found = re.search(rf"^{name} (\d+)$", text, re.MULTILINE)
    if not found:
        raise BenchError(f"no line '{name} N' in:\n{text}")
    return int(found[1])


def count(function, command, preload=None):
    """Returns the instructions inside `function` and the number of operations performed there."""
    done = run(["valgrind", "--tool=callgrind", f"--toggle-collect={function}",
                "--callgrind-out-file=/dev/null", *command], preload)
    collected = re.search(r"Collected : (\d+)", done.stderr)
    if not collected or int(collected[1]) == 0:
        raise BenchError(f"nothing counted in: {' '.join(command)}\n{done.stderr}")
    return int(collected[1]), number(done.stdout, "ops")


class Baseline:
    """Figures by name, and what they were when the file was written."""

    def __init__(self, path):
        self.path = path
        self.now = {}
        self.then = {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                lines = [line.rsplit(None, 1) for line in file if not line.startswith("#")]
            self.then = {name: float(figure) for name, figure in lines}

    def add(self, name, figure):
        self.now[name] = figure

    def write(self):
        with open(self.path, "w", encoding="utf-8") as file:
            file.write("# Instructions per operation. `make bench` compares, `make bench WRITE=1`"
                       " renews.\n")
            file.writelines(f"{name} {figure:.2f}\n" for name, figure in self.now.items())

    def compare(self):
        """Lines that say what has grown, and in short what else has changed."""
        lines, faster, same = [], 0, 0
        for name, now in self.now.items():
            then = self.then.get(name)
            if then is None:
                continue
            growth = (now - then) / then if then else float(now > 0)
            if growth > GROWTH:
                lines.append(f"SLOWER {name} {then:.1f} {now:.1f} {growth:+.1%}")
            elif growth < -GROWTH:
                faster += 1
            else:
                same += 1
        known = len(lines) + faster + same
        lines.append(f"{len(lines)} figures are more than {GROWTH:.0%} above the baseline, "
                     f"{faster} as much below, {same} as they were; "
                     f"{len(self.now) - known} have none")
        return lines
