"""A QEMU machine that a test drives: over COM1, by keyboard and by screen.

QEMU connects to two sockets that are listened on before it starts: one is COM1, the other QMP, its
control channel. COM1 is read all the time by a thread, so that no test holds the machine up.
Every wait watches for something with a bound, and when the bound is reached, the failure shows what
the machine said.
"""
import json
import os
import re
import select
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import images
import keys
import screens

AT_PROMPT = re.compile(rb"(?<![^\n])(?:\x1b\[[0-9;]*m)*ronin> (?:\x1b\[[0-9;]*m)*")
FIRST_WORDS = re.compile(rb"(?<=\n)[^\n]*RoninOS, a 32-bit kernel|^RoninOS, a 32-bit kernel")
TIMEOUT = float(os.environ.get("RONINOS_TIMEOUT", 60))     # seconds; only failures take that long
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
INTERRUPTS_ON = 1 << 9  # in EFLAGS
TEXT_MEMORY, TEXT_COLUMNS, TEXT_ROWS = 0xb8000, 80, 25
TEXT_PICTURE = 720, 400     # pixels of VGA text mode

# Each: the QEMU that runs it, its code, and its variables as they are on a new machine.
OVMF = "/usr/share/OVMF"
FIRMWARE = {
    "bios": ("qemu-system-i386", None, None),
    "uefi": ("qemu-system-x86_64", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
    "uefi32": ("qemu-system-i386", "OVMF32_CODE_4M.secboot.fd", "OVMF32_VARS_4M.fd"),
}

MEDIA = {
    "cdrom": ["-cdrom", "{}"],
    "disk": ["-drive", "format=raw,snapshot=on,file={}"],
    "usb": ["-drive", "if=none,id=stick,format=raw,snapshot=on,file={}",
            "-device", "qemu-xhci", "-device", "usb-storage,drive=stick"],
}


class MachineError(AssertionError):
    """The machine did not do what the test waited for."""


class Machine:
    """Starts a machine and connects to it. `serial` says whether it has a COM1.

    `machine` is QEMU's chipset; unless it is given, pc for a BIOS and q35 for UEFI.
    """

    running = []        # every machine not closed yet; a failing test shows their transcripts
    reader = None       # of graphics screens; made when first needed

    def __init__(self, image=None, *, memory="128M", machine=None, cpu=None, media="cdrom",
                 firmware="bios", serial=True, extra=()):
        self.received = bytearray()     # everything that came over COM1
        self.mark = 0                   # where the next wait_for() begins
        self.before = b""               # what the last one skipped
        self.ended = not serial         # nothing more comes over COM1
        self.arrived = threading.Condition()    # guards `received` and `ended`
        self.reading = threading.Event()        # cleared: nobody reads COM1
        self.reading.set()
        self.events = []                # QMP events that nobody waited for yet
        self.qmp_buffer = b""
        self.columns = self.rows = None         # of the screen when it was read last
        self.folder = tempfile.TemporaryDirectory(prefix="roninos-")
        image = image or images.default_image()

        sockets = {name: self._listen(name) for name in (["com1"] if serial else []) + ["qmp"]}
        qemu, code, variables = FIRMWARE[firmware]
        machine = machine or ("q35" if code else "pc")
        self.firmware_talks = bool(code)    # UEFI uses COM1 before the kernel does
        command = [qemu, "-accel", "tcg", "-M", machine, "-m", memory,
                   "-nic", "none", "-display", "none"]
        command += pflash(0, code, "readonly=on") + pflash(1, variables, "snapshot=on")
        command += ["-cpu", cpu] if cpu else []
        command += [word.format(image) for word in MEDIA[media]]
        for name in sockets:
            command += ["-chardev", f"socket,id={name},path={self.folder.name}/{name}"]
        command += ["-mon", "chardev=qmp,mode=control"]
        command += ["-serial", "chardev:com1" if serial else "none", *extra]

        self.log = open(f"{self.folder.name}/log", "wb")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log)
        Machine.running.append(self)
        self.com1 = self._accept(sockets["com1"]) if serial else None
        if serial:
            threading.Thread(target=self._read_com1, daemon=True).start()
        self.control = self._accept(sockets["qmp"])
        self._read_qmp(TIMEOUT)         # the greeting
        self.qmp("qmp_capabilities")

    def _listen(self, name):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(f"{self.folder.name}/{name}")
        listener.listen(1)
        listener.settimeout(0.2)
        return listener

    def _accept(self, listener):
        with listener:
            while True:
                try:
                    return listener.accept()[0]
                except socket.timeout:
                    if self.process.poll() is not None:
                        said = Path(self.log.name).read_text()
                        self.close()
                        raise MachineError(f"QEMU did not start: {said}") from None

    def close(self):
        """Ends the machine, in whatever state it is."""
        if self in Machine.running:
            Machine.running.remove(self)
        self.process.kill()
        self.process.wait()
        self.reading.set()
        for stream in (getattr(self, "com1", None), getattr(self, "control", None), self.log):
            if stream:
                stream.close()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- COM1 ----

    def transcript(self, last=6000):
        """The end of what came over COM1; control characters but newlines are made visible."""
        text = self.received.decode(errors="replace").replace("\r\n", "\n")
        return re.sub(r"[^\n -~\u00a0-\uffff]", lambda c: f"<{ord(c[0]):02x}>", text)[-last:]

    def fail(self, what):
        raise MachineError(f"{what}; COM1 said:\n{self.transcript()}")

    def _read_com1(self):
        while not self.ended:
            self.reading.wait()
            try:
                data = self.com1.recv(65536)
            except OSError:             # closed, or reset when QEMU ended
                data = b""
            with self.arrived:
                self.received += data
                self.ended = not data
                self.arrived.notify_all()

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

    def send(self, text):
        """Sends text or bytes over COM1."""
        self.com1.sendall(text if isinstance(text, bytes) else text.encode())

    def command(self, line, timeout=TIMEOUT):
        """Runs a command from the prompt; returns its output as lines without colours."""
        self.send(line + "\r")
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

    # ---- QMP ----

    def _read_qmp(self, timeout):
        """The next message, or None at the end of the machine."""
        deadline = time.monotonic() + timeout
        while b"\n" not in self.qmp_buffer:
            wait = deadline - time.monotonic()
            if wait <= 0 or not select.select([self.control], [], [], wait)[0]:
                self.fail("QMP is silent")
            try:
                data = self.control.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self.qmp_buffer += data
        line, self.qmp_buffer = self.qmp_buffer.split(b"\n", 1)
        return json.loads(line)

    def qmp(self, command, **arguments):
        """Runs a QMP command and returns its result."""
        self.control.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            message = self._read_qmp(TIMEOUT)
            if message is None or "error" in message:
                self.fail(f"QMP {command}: {message}")
            if "return" in message:
                return message["return"]
            self.events.append(message)

    def wait_event(self, name, timeout=TIMEOUT):
        """Waits for a QMP event of that name and returns its data."""
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event.get("data", {})
            message = self._read_qmp(timeout)
            if message is None:
                self.fail(f"the machine ended without the event {name}")
            self.events.append(message)

    def wait_exit(self, timeout=TIMEOUT):
        """Waits until QEMU has ended; returns its exit status."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.fail("the machine did not end")
        with self.arrived:
            self.arrived.wait_for(lambda: self.ended, TIMEOUT)
        return status

    def plug(self, device):
        """Plugs a device in, written as for QEMU's -device; it needs an id to be pulled out."""
        driver, *properties = device.split(",")
        self.qmp("device_add", driver=driver, **dict(word.split("=", 1) for word in properties))

    def pull(self, name):
        """Pulls out the device with that id and waits until it is gone."""
        self.qmp("device_del", id=name)
        while self.wait_event("DEVICE_DELETED").get("device") != name:
            pass

    def registers(self):
        """What QEMU says of the CPU."""
        return self.qmp("human-monitor-command", **{"command-line": "info registers"})

    def wait_halted(self):
        """Waits until the CPU has stopped with interrupts off: nothing will wake it."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            text = self.registers()
            flags = int(re.search(r"EFL=([0-9a-f]+)", text)[1], 16)
            if "HLT=1" in text and not flags & INTERRUPTS_ON:
                return
            if time.monotonic() >= deadline:
                self.fail("the machine did not halt")
            time.sleep(0.05)

    # ---- Keyboard and screen ----

    def press(self, *names):
        """Presses keys together and releases them, by QEMU's names for them."""
        self.qmp("send-key", keys=[{"type": "qcode", "data": name} for name in names],
                 **{"hold-time": 25})

    def hold(self, name, down=True):
        """Presses a key without releasing it, or releases it."""
        key = {"down": down, "key": {"type": "qcode", "data": name}}
        self.qmp("input-send-event", events=[{"type": "key", "data": key}])

    def type(self, text, layout="us"):
        """Types a text on the keyboard, whose layout the kernel takes to be `layout`."""
        for character in text:
            self.press(*keys.LAYOUTS[layout][character])

    def photograph(self):
        """The screen as a PPM."""
        path = f"{self.folder.name}/screen.ppm"
        self.qmp("screendump", filename=path)
        return Path(path).read_bytes()

    def look(self):
        """The screen as screens.Screen, which knows its colours too; None in text mode."""
        ppm = self.photograph()
        picture = screens.Picture(ppm)
        if (picture.width, picture.height) == TEXT_PICTURE:
            return None
        if Machine.reader is None:
            Machine.reader = screens.Reader(screens.Font((images.BUILD / "font.psf").read_bytes()))
        return Machine.reader.read(ppm)

    def screen(self):
        """The lines of the screen, without the blanks at their ends; sets `columns`, `rows`."""
        seen = self.look()
        if seen:
            self.columns, self.rows = seen.columns, seen.rows
            return seen.lines
        self.columns, self.rows = TEXT_COLUMNS, TEXT_ROWS
        path = f"{self.folder.name}/screen"
        self.qmp("pmemsave", val=TEXT_MEMORY, size=2 * self.columns * self.rows, filename=path)
        text = Path(path).read_bytes()[0::2].replace(b"\0", b" ").decode("cp437")
        return [text[at:at + self.columns].rstrip() for at in range(0, len(text), self.columns)]

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


def pflash(unit, file, access):
    """The option for one of UEFI's flash chips; a BIOS has none."""
    return ["-drive", f"if=pflash,unit={unit},format=raw,{access},file={OVMF}/{file}"] if file else []


def to_lines(data):
    """Bytes of COM1 as lines, without colours; every line must have ended in CR LF."""
    text = COLOUR.sub("", bytes(data).decode())
    assert "\n" not in text.replace("\r\n", ""), f"a line feed without carriage return: {text!r}"
    return text.removesuffix("\r\n").split("\r\n") if text else []


def describe(machine):
    """What a failing test shows of a machine."""
    ended = machine.process.poll()
    state = "running" if ended is None else f"ended with {ended}"
    return f"COM1 of a machine ({state}), process {machine.process.pid} of {os.getpid()}", \
        machine.transcript()
