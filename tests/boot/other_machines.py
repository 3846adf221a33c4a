"""Machines that share no code with QEMU: Bochs in a window under Xvfb, and v86 under node.

Both give what a cell of the matrix asks for: COM1, a keyboard, and the picture on the screen.
"""
import json
import os
import socket
import struct
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import images
from console import TIMEOUT, Console

HERE = Path(__file__).resolve().parent
V86 = images.ROOT / "build" / "npm" / "node_modules" / "v86"     # make installs it

BOCHSRC = """\
megs: 64
cpu: model=p4_willamette, reset_on_triple_fault=0
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios-stdvga.bin
ata0-master: type=cdrom, path={image}, status=inserted
boot: cdrom
display_library: x
com1: enabled=1, mode=socket-client, dev=localhost:{port}
log: {folder}/log
panic: action=report
error: action=ignore
clock: sync=none
speaker: enabled=0
"""


class Bochs(Console):
    """Bochs draws into a window; the X server keeps the picture in a file that is read here."""

    SIZE = (1280, 1024)         # of the X screen: the window with its tool bar fits
    PICTURE = (1024, 768)       # of the machine's screen
    PLACE = (4, 36)             # where in the window: behind its border and below its tool bar

    def __init__(self, *words, image=None):
        """words: more lines of the bochsrc."""
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="roninos-")
        folder = Path(self.folder.name)
        listener = socket.create_server(("localhost", 0))
        common = BOCHSRC.format(image=image or images.default_image(), folder=folder,
                                port=listener.getsockname()[1])
        (folder / "bochsrc").write_text("\n".join([common, *words, ""]))
        (folder / "rc").write_text("continue\n")
        self.log = open(folder / "output", "wb")
        self.display = self._start_x(folder)
        self.process = subprocess.Popen(
            ["bochs", "-q", "-f", folder / "bochsrc", "-rc", folder / "rc"], cwd=folder,
            env={**os.environ, "DISPLAY": self.display}, stdin=subprocess.DEVNULL, stdout=self.log,
            stderr=self.log)
        listener.settimeout(TIMEOUT)
        with listener:
            self.wire = listener.accept()[0]
        threading.Thread(target=self._read, daemon=True).start()

    def _start_x(self, folder):
        """Starts an X server that picks its own number."""
        reading, writing = os.pipe()
        width, height = self.SIZE
        self.x = subprocess.Popen(
            ["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{width}x{height}x24",
             "-fbdir", folder, "-nolisten", "tcp"], pass_fds=[writing], stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log)
        os.close(writing)
        with os.fdopen(reading) as answer:
            return f":{answer.readline().strip()}"

    def _read(self):
        try:
            while data := self.wire.recv(65536):
                self.feed(data)
        except OSError:
            pass
        self.feed(b"")

    def send(self, text):
        self.wire.sendall(text if isinstance(text, bytes) else text.encode())

    def type(self, text):
        """Types on the keyboard, through the window."""
        def x(*words):
            return subprocess.run(["xdotool", *words], env={**os.environ, "DISPLAY": self.display},
                                  check=True, capture_output=True, text=True).stdout
        window = x("search", "--name", "Bochs").split()[0]
        x("windowfocus", window, "mousemove", "200", "200")
        for character in text:
            x("key", {"\n": "Return", " ": "space"}.get(character, character))
            time.sleep(0.05)

    def screen(self):
        """The lines on the screen."""
        data = Path(self.folder.name, "Xvfb_screen0").read_bytes()
        head = struct.unpack(">25I", data[:100])        # an XWD file, see X11/XWDFile.h
        left, top = self.PLACE
        first = head[0] + 12 * head[19] + top * head[12] + 4 * left
        width, height = self.PICTURE
        rows = [data[at:at + 4 * width] for at in range(first, first + head[12] * height, head[12])]
        return self.read_picture(to_ppm(width, height, b"".join(rows))).lines

    def screen_mode(self):
        return f"1024x768, {self.columns}x{self.rows} cells"

    def close(self):
        for process in (self.process, self.x):
            process.kill()
            process.wait()
        self.wire.close()
        self.log.close()
        self.folder.cleanup()


class V86Machine(Console):
    """v86, driven through v86.mjs."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="roninos-")
        self.answers = []
        self.process = subprocess.Popen(
            ["node", HERE / "v86.mjs", V86, images.default_image()], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            message = json.loads(line)
            if "com1" in message:
                self.feed(message["com1"].encode("latin-1"))
            else:
                with self.arrived:
                    self.answers.append(message)
                    self.arrived.notify_all()
        self.feed(b"")

    def _say(self, **message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()

    def send(self, text):
        data = text if isinstance(text, bytes) else text.encode()
        self._say(com1=data.decode("latin-1"))

    def type(self, text):
        self._say(type=text)

    def screen(self):
        path = f"{self.folder.name}/screen"
        self._say(screen=path)
        with self.arrived:
            if not self.arrived.wait_for(lambda: self.answers or self.ended, TIMEOUT):
                self.fail("v86 does not answer")
            size = self.answers.pop(0)["screen"]
        if size is None:
            return []
        pixels = Path(path).read_bytes()
        return self.read_picture(to_ppm(size["width"], size["height"], pixels)).lines

    def screen_mode(self):
        return f"1024x768, {self.columns}x{self.rows} cells"

    def close(self):
        self.process.kill()
        self.process.wait()
        self.folder.cleanup()


def to_ppm(width, height, pixels):
    """A PPM of pixels that are stored as blue, green, red and nothing."""
    rgb = bytearray(3 * width * height)
    for channel in range(3):
        rgb[channel::3] = pixels[2 - channel::4]
    return f"P6 {width} {height} 255\n".encode() + rgb
