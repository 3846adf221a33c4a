"""Counting instructions: a program under callgrind, and figures kept from one run to the next."""
import os
import re
import subprocess

GROWTH = 0.03       # what is less than this is not worth a line

HEADER = """\
# Instructions of an operation. `make bench` compares with these, `make bench WRITE=1` renews them.
# A trace's lines name it with its operations and the peak of its live bytes: figures of another
# trace of the same name are not compared.
"""
COMPILED = "# Compiled by "


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


def compilers(build):
    """The host's and the kernel's, with their versions."""
    with open(os.path.join(build, "compiler"), encoding="utf-8") as file:
        names = ["gcc", file.read().split()[0]]     # its options follow
    return ", ".join(f"{os.path.basename(name)} {run([name, '-dumpfullversion']).stdout.strip()}"
                     for name in names)


class Baseline:
    """Figures by name, and what they were, and by which compilers, when the file was written."""

    def __init__(self, path, compiled_by):
        self.path = path
        self.compiled_by = self.compiled_then_by = compiled_by
        self.now = {}
        self.then = {}
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                text = file.read().splitlines()
            figures = [line.rsplit(None, 1) for line in text if not line.startswith("#")]
            self.then = {name: float(figure) for name, figure in figures}
            self.compiled_then_by = next((line[len(COMPILED):] for line in text
                                          if line.startswith(COMPILED)), compiled_by)

    def add(self, name, figure):
        self.now[name] = figure

    def write(self):
        """What was not counted this time, like other traces, stays as it was."""
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(f"{HEADER}{COMPILED}{self.compiled_by}\n")
            file.writelines(f"{name} {figure:.2f}\n"
                            for name, figure in sorted({**self.then, **self.now}.items()))

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
        if self.compiled_by != self.compiled_then_by:
            lines.append(f"The baseline was compiled by {self.compiled_then_by}, "
                         f"this by {self.compiled_by}")
        return lines
