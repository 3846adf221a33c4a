"""Boot images for the tests: the kernel with other command lines and modules.

The folder that holds the built kernel is taken from RONINOS_BUILD, or is build/ of this tree.
Images are kept there, in a folder for each kernel, under a name made of everything that goes into
them: an unchanged one is made once, and two test processes that make the same one do not disturb
each other. Those of other kernels are removed, because modules make them large.
"""
import hashlib
import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("RONINOS_BUILD", ROOT / "build")).resolve()
KERNEL = BUILD / "roninos.stripped.elf"
COMPILED_BY = (BUILD / "compiler").read_text()      # and with which options
CHECKING = COMPILED_BY.split()[-1] == "CHECK"       # made by make CHECK=1
ORDINARY = COMPILED_BY.split()[0].endswith("gcc") and COMPILED_BY.split()[1:] == ["-O2"]    # no variant
MAKER = ROOT / "iso" / "mkiso.sh"
CONFIG = ROOT / "iso" / "boot" / "grub" / "grub.cfg"


def least_ram():
    """KiB in which GRUB can load the kernel, as seen: it holds the file beside what it makes of it."""
    return -(-(3000 + 2 * KERNEL.stat().st_size // 1024) // 128) * 128


SMALLEST = f"{-(-least_ram() // 1024)}M"        # a machine with little RAM: 4 MiB, if that is enough


def default_image():
    """The image that people get."""
    return BUILD / "roninos.iso"


def config_of(command_line, modules, video=None):
    """A grub.cfg that boots at once. `modules` maps a file name to its command line and content.

    `video` is what GRUB's gfxpayload is set to behind what the kernel asks for: `text`, `800x600x16`.
    """
    lines = ["set timeout=0", "set timeout_style=hidden", *video_drivers(), 'menuentry "test" {',
             f"    multiboot2 /boot/roninos.elf {command_line}"]
    lines += [f"    module2 /boot/{name} {words}" for name, (words, _) in modules.items()]
    lines += [f"    set gfxpayload={video}"] if video else []
    return "\n".join([*lines, "}", ""])


def video_drivers():
    """The lines of the shipped grub.cfg that load a platform's video drivers."""
    lines = CONFIG.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if "grub_platform" in line)
    return lines[first:lines.index("fi", first) + 1]


def make_image(command_line="", modules=None, video=None):
    """An image of the kernel with a command line and modules, in another video mode."""
    modules = modules or {}
    return make_image_of(config_of(command_line, modules, video), modules)


def make_image_of(config, modules):
    """An image with any grub.cfg."""
    image = _folder() / f"{_digest(config.encode(), *[data for _, data in modules.values()])}.iso"
    if not image.exists():
        with tempfile.TemporaryDirectory(dir=image.parent) as folder:
            _run_maker(Path(folder), config, modules).rename(image)
    return image


def _folder():
    """Where the images of this kernel are."""
    folder = BUILD / "test-images" / _digest(KERNEL.read_bytes(), MAKER.read_bytes())
    folder.mkdir(parents=True, exist_ok=True)
    for other in folder.parent.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder


def _digest(*parts):
    hashes = b"".join(hashlib.sha256(part).digest() for part in parts)
    return hashlib.sha256(hashes).hexdigest()[:16]


def _run_maker(folder, config, modules):
    (folder / "grub.cfg").write_text(config)
    for name, (_, content) in modules.items():
        (folder / name).write_bytes(content)
    made = folder / "made.iso"
    subprocess.run([MAKER, KERNEL, folder / "grub.cfg", made, *[folder / name for name in modules]],
                   check=True)
    return made


def noise(size):
    """Bytes in which no two of a million pages are alike, the same every time."""
    period = random.Random(size).randbytes(min(size, 1000003))
    return (period * (size // max(1, len(period)) + 1))[:size]
