"""What a test talks to, whatever emulates the machine: COM1, and a screen.

Every wait watches for something with a bound, and when the bound is reached, the failure shows what
the machine said.
"""
import os
import re
import threading
import time

import images
import screens

AT_PROMPT = re.compile(rb"(?<![^\n])(?:\x1b\[[0-9;]*m)*ronin> (?:\x1b\[[0-9;]*m)*")
FIRST_WORDS = re.compile(rb"(?<=\n)[^\n]*RoninOS, a 32-bit kernel|^RoninOS, a 32-bit kernel")
TIMEOUT = float(os.environ.get("RONINOS_TIMEOUT", 60))     # seconds; only failures take that long
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
CLEARED = "\r\x1b[J"      # the open line, before a message takes its place


class MachineError(AssertionError):
    """The machine did not do what the test waited for."""


class Console:
    """A machine's COM1 and screen. Who emulates it gives feed() what comes over COM1, and has

    send(text or bytes) over COM1, type(text) on the keyboard, screen() as lines, and `process`.
    """

    reader = None       # of graphics screens; made when first needed

    def __init__(self, serial=True, firmware_talks=False):
        self.received = bytearray()     # everything that came over COM1
        self.mark = 0                   # where the next wait_for() begins
        self.before = b""               # what the last one skipped
        self.ended = not serial         # nothing more comes over COM1
        self.arrived = threading.Condition()    # guards `received` and `ended`
        self.firmware_talks = firmware_talks    # UEFI uses COM1 before the kernel does
        self.columns = self.rows = None         # of the screen when it was read last

    def feed(self, data):
        """Takes what came over COM1; nothing: it has ended."""
        with self.arrived:
            self.received += data
            self.ended = not data
            self.arrived.notify_all()

    def transcript(self, last=6000):
        """The end of what came over COM1; control characters but newlines are made visible."""
        text = self.received.decode(errors="replace").replace("\r\n", "\n")
        return re.sub(r"[^\n -~\u00a0-\uffff]", lambda c: f"<{ord(c[0]):02x}>", text)[-last:]

    def fail(self, what):
        raise MachineError(f"{what}; COM1 said:\n{self.transcript()}")

    def wait_for(self, wanted, timeout=TIMEOUT):
        """Waits for a text or a bytes pattern behind the last one found; returns the match."""
        pattern = re.compile(re.escape(wanted.encode())) if isinstance(wanted, str) else wanted
        deadline = time.monotonic() + timeout
        with self.arrived:
            while not (match := pattern.search(self.received, self.mark)):
                if self.ended or not self.arrived.wait(deadline - time.monotonic()):
                    self.fail(f"{'the machine ended before' if self.ended else 'waited for'} "
                              f"{wanted!r}")
            self.before = bytes(self.received[self.mark:match.start()])
            self.mark = match.end()
            return match

    def prompt(self, timeout=TIMEOUT):
        """Waits for the prompt; returns what was printed before it, as lines."""
        if self.firmware_talks:
            self.mark = self.wait_for(FIRST_WORDS, timeout).start()
            self.firmware_talks = False
        self.wait_for(AT_PROMPT, timeout)
        return to_lines(self.before)

    def command(self, line, timeout=TIMEOUT):
        """Runs a command from the prompt; returns its output as lines without colours."""
        self.send(line + "\r")
        echo, *output = self.prompt(timeout)
        while CLEARED in echo:      # a message came in between, above a new prompt
            echo, *output = self.prompt(timeout)
        if echo != line:
            self.fail(f"sent {line!r}, echoed was {echo!r}")
        return output

    def one_line(self, line, timeout=TIMEOUT):
        """Runs a command that must print exactly one line, and returns it."""
        output = self.command(line, timeout)
        if len(output) != 1:
            self.fail(f"{line!r} printed {len(output)} lines, not one")
        return output[0]

    def read_picture(self, ppm):
        """What a picture of the screen shows, as screens.Screen; sets `columns` and `rows`."""
        if Console.reader is None:
            Console.reader = screens.Reader(screens.Font((images.BUILD / "font.psf").read_bytes()))
        seen = Console.reader.read(ppm)
        self.columns, self.rows = seen.columns, seen.rows
        return seen

    def wait_screen(self, wanted, timeout=TIMEOUT):
        """Waits until the screen satisfies a function of its lines, or shows a text; returns it."""
        shows = wanted if callable(wanted) else lambda lines: any(wanted in line for line in lines)
        deadline = time.monotonic() + timeout
        while not shows(lines := self.screen()):
            if self.process.poll() is not None or time.monotonic() >= deadline:
                screen = "\n".join(lines)
                self.fail(f"waited for {wanted!r} on the screen, which shows:\n{screen}\n")
            time.sleep(0.05)
        return lines


def to_lines(data):
    """Bytes of COM1 as lines, without colours; every line must have ended in CR LF."""
    text = COLOUR.sub("", bytes(data).decode())
    assert "\n" not in text.replace("\r\n", ""), f"a line feed without carriage return: {text!r}"
    return text.removesuffix("\r\n").split("\r\n") if text else []
