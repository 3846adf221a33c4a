"""A QEMU machine that a test drives: over COM1, by keyboard and by screen.

COM1 is a pair of pipes: they take 64 KiB before they are full, where a socket takes 280 single
bytes, after which a kernel that waits in vain gives COM1 up. A thread reads all the time, so that no
test holds the machine up. QMP, QEMU's control channel, is a socket that is listened on before QEMU
starts.
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
from console import TIMEOUT, Console, MachineError

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


class Machine(Console):
    """Starts a machine and connects to it. `serial` says whether it has a COM1.

    `machine` is QEMU's chipset; unless it is given, pc for a BIOS and q35 for UEFI. `cpu` is RONINOS_CPU
    from the environment, or else what QEMU takes.
    """

    running = []        # every machine not closed yet; a failing test shows their transcripts

    def __init__(self, image=None, *, memory="128M", machine=None, cpu=None, media="cdrom",
                 firmware="bios", serial=True, extra=()):
        qemu, code, variables = FIRMWARE[firmware]
        super().__init__(serial, firmware_talks=bool(code))
        self.reading = threading.Event()        # cleared: nobody reads COM1
        self.reading.set()
        self.events = []                # QMP events that nobody waited for yet
        self.qmp_buffer = b""
        self.folder = tempfile.TemporaryDirectory(prefix="roninos-")
        image = image or images.default_image()

        qmp = self._listen("qmp")
        machine = machine or ("q35" if code else "pc")
        command = [qemu, "-accel", "tcg", "-M", machine, "-m", memory,
                   "-nic", "none", "-display", "none"]
        command += pflash(0, code, "readonly=on") + pflash(1, variables, "snapshot=on")
        cpu = cpu or os.environ.get("RONINOS_CPU")
        command += ["-cpu", cpu] if cpu else []
        command += [word.format(image) for word in MEDIA[media]]
        command += ["-chardev", f"socket,id=qmp,path={self.folder.name}/qmp",
                    "-mon", "chardev=qmp,mode=control"]
        command += ["-serial", f"pipe:{self.folder.name}/com1" if serial else "none", *extra]
        for end in ("in", "out"):       # as QEMU sees them
            os.mkfifo(f"{self.folder.name}/com1.{end}")

        self.log = open(f"{self.folder.name}/log", "wb")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log)
        Machine.running.append(self)
        self.control = self._accept(qmp)
        self._read_qmp(TIMEOUT)         # the greeting: QEMU has opened its ends of the pipes
        self.qmp("qmp_capabilities")
        if serial:
            self.to_com1 = open(f"{self.folder.name}/com1.in", "wb", buffering=0)
            self.from_com1 = open(f"{self.folder.name}/com1.out", "rb", buffering=0)
            threading.Thread(target=self._read_com1, daemon=True).start()

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
        for stream in ("to_com1", "control", "log"):    # the thread closes the other
            if hasattr(self, stream):
                getattr(self, stream).close()
        self.folder.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- COM1 ----

    def _read_com1(self):
        with self.from_com1:
            while not self.ended:
                self.reading.wait()
                self.feed(self.from_com1.read(65536))

    def send(self, text):
        """Sends text or bytes over COM1."""
        data = text if isinstance(text, bytes) else text.encode()
        while data:
            data = data[self.to_com1.write(data):]

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
        return self.read_picture(ppm)

    def screen(self):
        """The lines of the screen, without the blanks at their ends; sets `columns`, `rows`."""
        if seen := self.look():
            return seen.lines
        self.columns, self.rows = TEXT_COLUMNS, TEXT_ROWS
        path = f"{self.folder.name}/screen"
        self.qmp("pmemsave", val=TEXT_MEMORY, size=2 * self.columns * self.rows, filename=path)
        text = Path(path).read_bytes()[0::2].replace(b"\0", b" ").decode("cp437")
        return [text[at:at + self.columns].rstrip() for at in range(0, len(text), self.columns)]

    def screen_mode(self):
        """What the screen is, in words, as it was read last."""
        if (self.columns, self.rows) == (TEXT_COLUMNS, TEXT_ROWS):
            return "VGA text"
        picture = screens.Picture(self.photograph())
        return f"{picture.width}x{picture.height}, {self.columns}x{self.rows} cells"


def pflash(unit, file, access):
    """The option for one of UEFI's flash chips; a BIOS has none."""
    return ["-drive", f"if=pflash,unit={unit},format=raw,{access},file={OVMF}/{file}"] if file else []


def describe(machine):
    """What a failing test shows of a machine."""
    ended = machine.process.poll()
    state = "running" if ended is None else f"ended with {ended}"
    return f"COM1 of a machine ({state}), process {machine.process.pid} of {os.getpid()}", \
        machine.transcript()
