#!/usr/bin/env python3
"""Breaks the kernel's pure sources in small ways, one at a time, and sees whether a host test notices.

usage: mutate.py [options] FILE...            (make mutants FILES=...; docs/testing.md)

A *mutant* is a source with one change: an operator swapped, a number off by one, a condition decided,
a statement gone. It is *killed* when a host test that contains the source fails, crashes or does not end,
and *survives* otherwise. It is *equal* when the compiler makes the same code of it, and left out, as is one
that *does not compile*. Mutants are built in a scratch folder, from the flags and archives that the
Makefile gives; the tree is not touched. Their order is that of the source.

A survivor must be explained in tests/mutants.txt: by records of file and function, the line, the change,
and the reason. What survives without a record, or has one and is killed, makes this script fail.
"""
import argparse
import collections
import concurrent.futures
import os
import re
import resource
import subprocess
import sys
import tempfile
import threading

import mutations

HERE = os.path.dirname(os.path.abspath(__file__))
EXPLAINED = os.path.join(HERE, "mutants.txt")
LEAST_SECONDS = 2       # of CPU time for a test; else five times what it takes without a mutation
LINK_SECONDS = 0.1      # about what it costs to link a test and to start it

# A failed test ends the program; nobody reads the sanitizers' reports; long tests make it short.
FULL, BRIEF = "full", "brief"
ENVIRONMENT = {**os.environ, "CMOCKA_TEST_ABORT": "1", "ASAN_OPTIONS": "symbolize=0",
               "UBSAN_OPTIONS": "symbolize=0"}
ENVIRONMENTS = {FULL: ENVIRONMENT, BRIEF: {**ENVIRONMENT, "RONINOS_TEST_BRIEF": "1"}}


def run_quietly(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    return done.returncode == 0, done.stdout


# ---- What is built of what ------------------------------------------------------------------


def dependencies(host):
    """{object: the files it is made of}, from what the compiler left beside the objects."""
    found = {}
    for folder, _, names in os.walk(host):
        for name in names:
            if name.endswith(".d"):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as file:
                    rule = file.read().replace("\\\n", " ").split("\n", 1)[0]
                if ":" in rule:
                    found[path[:-2] + ".o"] = rule.split(":", 1)[1].split()
    return found


class Program:
    """A host test: its own objects, and the names of the sources that it was linked from."""

    def __init__(self, path, host):
        self.path, self.name = path, os.path.basename(path)
        corpus = self.name.startswith("test_corpus_")
        self.own = [os.path.join(host, "tests/fuzz", self.name[len("test_corpus_"):] + ".o") if corpus
                    else os.path.join(host, "tests/host", self.name + ".o")]
        self.sources = ["tests/fuzz/test_corpus.c"] if corpus else []
        self.flags = ["-Itests/host", f'-DCORPUS="tests/fuzz/corpus/{self.name[12:]}"'] if corpus else []
        done = subprocess.run(["nm", "-a", path], stdout=subprocess.PIPE, text=True, check=True)
        self.files = set(re.findall(r" a (\S+\.c)$", done.stdout, re.MULTILINE))
        self.time, self.limits = 0, {}      # seconds of CPU time, see Run.prepare()
        self.can_be_brief = "brief.c" in self.files

    def holds(self, an_object):
        return os.path.basename(an_object)[:-2] + ".c" in self.files


class Builder:
    """Compiles one changed file, and links the tests with it."""

    def __init__(self, options, file, root):
        self.options, self.file = options, file
        self.compiler = options.compiler.split() + ["-w", "-g0"]
        every = dependencies(options.host)
        self.objects = sorted(o for o, files in every.items() if file in files)
        self.source = {o: every[o][0] for o in self.objects}
        programs = [Program(p, options.host) for p in options.tests]
        self.programs = [p for p in programs if any(p.holds(o) or o in p.own for o in self.objects)]
        if not self.programs:
            sys.exit(f"{file}: no host test contains it")
        for program in self.programs:
            program.own += self.pure_objects(program, every)
            self.compile_sources(program, root)

    def pure_objects(self, program, every):
        """Those that the program was linked from: named, so that no other of an archive serves."""
        pure = [o for o in every if o.startswith(os.path.join(self.options.host, "kernel", ""))]
        count = collections.Counter(os.path.basename(o) for o in pure)
        return [o for o in pure if program.holds(o) and count[os.path.basename(o)] == 1]

    def compile_sources(self, program, root):
        """What the Makefile compiles as it links the program, which includes nothing of the kernel's."""
        for source in program.sources:
            target = os.path.join(root, program.name + ".o")
            done, text = run_quietly(self.compiler + program.flags + ["-c", source, "-o", target])
            if not done:
                sys.exit(f"{source} does not compile:\n{text}")
            program.own.append(target)

    def compile(self, scratch, an_object, *flags):
        """
        Compiles what becomes `an_object`; the changed file lies in the scratch folder. Not optimised
        unless `flags` say so: with the sanitizers that would take five times as long.
        """
        source = os.path.join(scratch, self.source[an_object])
        if self.source[an_object] != self.file and not os.path.lexists(source):
            # From there it finds the changed header, not the one beside it in the tree.
            os.makedirs(os.path.dirname(source), exist_ok=True)
            os.symlink(os.path.abspath(self.source[an_object]), source)
        target = os.path.join(scratch, "objects", an_object.replace("/", "_"))
        command = self.compiler[:1] + [f"-I{scratch}/include", f"-I{scratch}/kernel"] + \
            self.compiler[1:] + ["-Itests/host", "-I" + os.path.dirname(self.source[an_object]),
                                 "-O0", *flags, source, "-o", target]
        return target if run_quietly(command)[0] else None

    def code(self, scratch):
        """What the kernel's optimisation makes of the kernel's sources; None: it does not compile."""
        text = []
        for an_object in self.objects:
            if self.source[an_object].startswith("tests/"):
                continue
            target = self.compile(scratch, an_object, "-fno-sanitize=all", "-O2", "-S")
            if target is None:
                return None
            with open(target, encoding="utf-8") as file:
                text.append(file.read())
        return text

    def compile_for(self, scratch, program, made):
        """Compiles what of the test is changed and not yet `made`; False if something does not compile."""
        for an_object in self.objects:
            if an_object not in made and (an_object in program.own or program.holds(an_object)):
                made[an_object] = self.compile(scratch, an_object, "-c")
                if made[an_object] is None:
                    return False
        return True

    def link(self, scratch, program, made):
        """The test with the changed objects, which come before the archives that hold the others."""
        target = os.path.join(scratch, program.name)
        changed = [made[o] for o in self.objects if o not in program.own and program.holds(o)]
        own = [made.get(o, o) for o in program.own]
        host = self.options.host
        done, text = run_quietly(self.compiler + own + changed +
                                 [f"-L{host}", "-lsupport", "-lpure", "-lsupport", "-lcmocka",
                                  "-o", target])
        if not done:
            sys.exit(f"{program.name} cannot be linked with {self.file}:\n{text}")
        return target


def seconds_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_test(program, seconds, length):
    """True if it passes within so many seconds of CPU time, whatever else the machine does."""
    def limit():
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        done = subprocess.run([program], env=ENVIRONMENTS[length], preexec_fn=limit,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False, timeout=20 * seconds)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


# ---- A run over one file --------------------------------------------------------------------


class Run:
    def __init__(self, options, file, root):
        self.options, self.file, self.root = options, file, root
        with open(file, encoding="utf-8") as source:
            self.text = source.read()
        self.builder = Builder(options, file, root)
        self.lock = threading.Lock()
        self.folders = []
        self.killers = collections.Counter()

    def folder(self):
        with self.lock:
            if self.folders:
                return self.folders.pop()
        path = tempfile.mkdtemp(dir=self.root)
        for name in ("objects", "include", "kernel", os.path.dirname(self.file)):
            os.makedirs(os.path.join(path, name), exist_ok=True)
        return path

    def write(self, scratch, text):
        with open(os.path.join(scratch, self.file), "w", encoding="utf-8") as file:
            file.write(text)

    def prepare(self):
        """Without a mutation all tests pass; how long they take decides their bounds."""
        scratch = self.folder()
        self.write(scratch, self.text)
        self.original = self.builder.code(scratch)
        made = {}
        for program in self.builder.programs:
            if not self.builder.compile_for(scratch, program, made):
                sys.exit(f"{self.file}: {program.name} does not compile without a mutation")
            linked = self.builder.link(scratch, program, made)
            for length in (FULL, BRIEF) if self.options.full else (BRIEF,):
                before = seconds_of_children()
                if not run_test(linked, 600, length):
                    sys.exit(f"{program.name} fails without a mutation")
                program.time = seconds_of_children() - before
                program.limits[length] = max(LEAST_SECONDS, int(5 * program.time))
        self.folders.append(scratch)

    def promising(self):
        """The tests, those first that have killed most for their time."""
        with self.lock:
            return sorted(self.builder.programs, key=lambda program:
                          (program.time + LINK_SECONDS) / (1 + self.killers[program.name]))

    def judge(self, mutant):
        scratch = self.folder()
        try:
            return self.judge_in(scratch, mutant)
        finally:
            with self.lock:
                self.folders.append(scratch)

    def judge_in(self, scratch, mutant):
        self.write(scratch, mutant.apply(self.text))
        made, linked = {}, {}
        for program in self.promising():
            if not self.builder.compile_for(scratch, program, made):
                return "does not compile"
            linked[program] = self.builder.link(scratch, program, made)
            if not run_test(linked[program], program.limits[BRIEF], BRIEF):
                with self.lock:
                    self.killers[program.name] += 1
                return "killed"
        code = self.builder.code(scratch)
        if code is None:
            return "does not compile"
        if code == self.original:
            return "equal"
        for program, path in linked.items():
            if self.options.full and program.can_be_brief and \
                    not run_test(path, program.limits[FULL], FULL):
                with self.lock:
                    self.killers[program.name + ", at full length"] += 1
                return "killed"
        return "survived"

    def judge_all(self, mutants):
        results = {}
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            for mutant, result in zip(mutants, pool.map(self.judge, mutants)):
                results[mutant] = result
                if result == "survived" or self.options.verbose:
                    print(f"{mutant}: {result}", flush=True)
        return results


# ---- The list of explained survivors --------------------------------------------------------


def read_explained(path):
    """Records between empty lines: `FILE FUNCTION`, the line, the change, the reason's lines."""
    records = collections.Counter()
    if not os.path.exists(path):
        return records
    with open(path, encoding="utf-8") as file:
        text = re.sub(r"^#( .*)?\n", "", file.read(), flags=re.MULTILINE)
    for record in re.split(r"\n\s*\n", text.strip()):
        lines = [line.strip() for line in record.splitlines()]
        if len(lines) < 4:
            sys.exit(f"{path}: no reason is given: {record!r}")
        records[tuple(lines[:3])] += 1
    return records


def compare(results, explained, file, whole):
    """What has no record, and what has one without surviving; the latter if all of the file was run."""
    survivors = [mutant for mutant, result in results.items() if result == "survived"]
    left = collections.Counter({key: count for key, count in explained.items()
                                if key[0].split()[0] == file})
    unexplained = []
    for mutant in survivors:
        if left[mutant.key] > 0:
            left[mutant.key] -= 1
        else:
            unexplained.append(mutant)
    return unexplained, list(left.elements()) if whole else []


def report(file, results, unexplained, stale, run):
    count = collections.Counter(results.values())
    tried = count["killed"] + count["survived"]
    part = 100 * count["killed"] / tried if tried else 100
    print(f"{file}: {tried} mutants, {count['killed']} killed ({part:.1f} %), "
          f"{count['survived']} survived, {len(unexplained)} of them unexplained; left out: "
          f"{count['equal']} equal, {count['does not compile']} do not compile")
    for name, killed in run.killers.most_common():
        print(f"    {killed:5} by {name}")
    for mutant in unexplained:
        print("UNEXPLAINED " + str(mutant) + "\n    " + "\n    ".join(mutant.key))
    for key in stale:
        print("EXPLAINED, BUT KILLED (or gone)\n    " + "\n    ".join(key))


def parse_lines(text):
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--compiler", required=True, help="the host tests' compiler with its flags")
    parser.add_argument("--host", required=True, help="folder of the host tests' objects and archives")
    parser.add_argument("--tests", required=True, type=str.split, help="the host tests' programs")
    parser.add_argument("--line", type=parse_lines, metavar="N[-M]", help="only mutants of these lines")
    parser.add_argument("--list", action="store_true", help="list the mutants and build none")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="so many at a time")
    parser.add_argument("--brief", dest="full", action="store_false",
                        help="do not try what survives on the tests at their full length")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each Nth mutant")
    parser.add_argument("--again", action="store_true", help="only what survived the last time")
    parser.add_argument("--verbose", action="store_true", help="print killed mutants too")
    return parser.parse_args()


def kept_survivors(options, file):
    """The keys of what survived the last run over the file, and where they are kept."""
    path = os.path.join(options.host, "mutants-" + file.replace("/", "-"))
    if not options.again:
        return None, path
    with open(path, encoding="utf-8") as kept:
        return {tuple(record.splitlines()) for record in kept.read().split("\n\n")}, path


def run_over(options, file, root):
    with open(file, encoding="utf-8") as source:
        mutants = mutations.mutants(file, source.read())
    again, kept = kept_survivors(options, file)
    chosen = [m for m in mutants if (options.line is None or m.line in options.line) and
              (again is None or m.key in again)][::options.every]
    if options.list:
        for mutant in chosen:
            print(mutant)
        return True
    run = Run(options, file, root)
    run.prepare()
    results = run.judge_all(chosen)
    whole = len(chosen) == len(mutants)
    if options.line is None:
        with open(kept, "w", encoding="utf-8") as out:
            out.write("\n\n".join("\n".join(m.key) for m, r in results.items() if r == "survived"))
    unexplained, stale = compare(results, read_explained(EXPLAINED), file, whole)
    report(file, results, unexplained, stale, run)
    return not unexplained and not stale


def main():
    options = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="mutants-") as root:
        good = [run_over(options, file, root) for file in options.files]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
