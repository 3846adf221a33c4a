"""The cells of the matrix: machines on which RoninOS must give a screen and a keyboard.

tests/boot/test_matrix.py boots each, and tests/boot/matrix.py makes the table of docs/hardware.md.
"""
from dataclasses import dataclass, field

import images

HOT_PLUGGED = "usb-kbd,id=late,bus=usb.0"


@dataclass(frozen=True)
class Keyboard:
    """How keys reach the machine: QEMU's devices, and whether there is an i8042."""
    devices: tuple = ()
    i8042: bool = False
    plugged_later: bool = False
    said: str = "keyboard: USB"         # what the boot says of it


def usb(controller, *devices, **more):
    """A USB controller named `usb`, and what is plugged into it."""
    words = [word for device in (f"{controller},id=usb", *devices) for word in ("-device", device)]
    return Keyboard(tuple(words), **more)


ICH9 = ("ich9-usb-uhci1,masterbus=usb.0,firstport=0,multifunction=on,addr=1d.0",
        "ich9-usb-uhci2,masterbus=usb.0,firstport=2,addr=1d.1",
        "ich9-usb-uhci3,masterbus=usb.0,firstport=4,addr=1d.2")
KBD = "usb-kbd,bus=usb.0"

KEYBOARDS = {
    "PS/2": Keyboard(i8042=True, said="keyboard: PS/2"),
    "xHCI": usb("qemu-xhci", KBD),
    "xHCI (NEC)": usb("nec-usb-xhci", KBD),
    "xHCI, behind a hub": usb("qemu-xhci", "usb-hub,bus=usb.0,port=1", f"{KBD},port=1.2"),
    "xHCI, behind two hubs": usb("qemu-xhci", "usb-hub,bus=usb.0,port=2",
                                 "usb-hub,bus=usb.0,port=2.3", f"{KBD},port=2.3.1"),
    "xHCI, plugged in later": usb("qemu-xhci", plugged_later=True),
    "xHCI and PS/2": usb("qemu-xhci", KBD, i8042=True),
    "xHCI, two keyboards": usb("qemu-xhci", KBD, KBD),
    "EHCI": usb("usb-ehci", KBD),
    "EHCI, companion UHCI": usb("ich9-usb-ehci1,addr=1d.7,multifunction=on", *ICH9,
                                f"{KBD},usb_version=1"),
    "EHCI, hub at the companion": usb("ich9-usb-ehci1,addr=1d.7,multifunction=on", *ICH9,
                                      "usb-hub,bus=usb.0,port=1", f"{KBD},port=1.1"),
    "UHCI": usb("piix3-usb-uhci", KBD),
    "UHCI (ICH9)": usb("ich9-usb-uhci1", KBD),
    "UHCI, behind a hub": usb("piix4-usb-uhci", "usb-hub,bus=usb.0,port=1", f"{KBD},port=1.4"),
    "UHCI, plugged in later": usb("piix3-usb-uhci", plugged_later=True),
    "OHCI": usb("pci-ohci", KBD),
    "OHCI, behind a hub": usb("pci-ohci", "usb-hub,bus=usb.0,port=1", f"{KBD},port=1.1"),
    "OHCI, plugged in later": usb("pci-ohci", plugged_later=True),
    "EHCI, plugged in later": usb("usb-ehci", plugged_later=True),
}


@dataclass(frozen=True)
class Cell:
    """One machine. `options` go to machine.Machine; `video` to images.make_image."""
    part: str
    name: str
    keyboard: str = "PS/2"
    options: dict = field(default_factory=dict)
    video: str = None
    screen: bool = True
    quick: bool = False

    def machine_options(self):
        """With the keyboard, for machine.Machine."""
        options = dict(self.options)
        kind = KEYBOARDS[self.keyboard]
        uefi = options.get("firmware", "bios") != "bios"
        chipset = options.pop("machine", "q35" if uefi else "pc")
        options["machine"] = chipset if kind.i8042 else f"{chipset},i8042=off"
        options["extra"] = [*options.get("extra", ()), *kind.devices]
        return options


FIRMWARE = {"SeaBIOS, pc": {"machine": "pc"}, "SeaBIOS, q35": {"machine": "q35"},
            "OVMF x64": {"firmware": "uefi"}, "OVMF ia32": {"firmware": "uefi32"}}
MEDIA = {"CD": "cdrom", "disk": "disk", "USB stick": "usb"}

# The CPUs that each firmware itself runs on.
CPUS = {"SeaBIOS, pc": ["486", "pentium", "pentium3", "qemu32", "n270", "core2duo", "max"],
        "OVMF x64": ["core2duo", "max"], "OVMF ia32": ["pentium3", "n270", "max"]}
DISPLAYS = {"SeaBIOS, pc": ["std", "cirrus", "vmware", "qxl", "virtio", "none"],
            "OVMF x64": ["std", "qxl", "virtio", "none"], "OVMF ia32": ["std", "none"]}
VIDEO_MODES = ["text", "640x480x32", "800x600x16", "1024x768x16", "800x600x24", "1280x1024x32"]
SIZES = {"SeaBIOS, pc": [images.SMALLEST, "16M", "512M", "2G", "5G", "8G"], "OVMF x64": ["56M", "512M", "8G"],
         "OVMF ia32": ["64M", "512M", "8G"]}

QUICK = {("firmware and medium", "SeaBIOS, q35, USB stick"), ("firmware and medium", "OVMF x64, CD"),
         ("firmware and medium", "OVMF ia32, disk"), ("keyboard", "q35: xHCI"),
         ("keyboard", "q35: EHCI, companion UHCI"), ("keyboard", "q35: OHCI"),
         ("keyboard", "OVMF x64: xHCI"), ("keyboard", "q35: xHCI, behind a hub"),
         ("keyboard", "q35: xHCI, plugged in later"),
         ("CPU", "SeaBIOS, pc, 486"), ("display", "SeaBIOS, pc, -vga cirrus"),
         ("display", "SeaBIOS, pc, -vga none"), ("video mode", "800x600x16"), ("video mode", "text"),
         ("memory", f"SeaBIOS, pc, {images.SMALLEST}")}


def _cells():
    for firmware, options in FIRMWARE.items():
        for medium, media in MEDIA.items():
            yield "firmware and medium", f"{firmware}, {medium}", {"options": {**options, "media": media}}
    for keyboard in KEYBOARDS:
        yield "keyboard", f"q35: {keyboard}", {"keyboard": keyboard, "options": {"machine": "q35"}}
    for keyboard in ("xHCI", "EHCI", "UHCI", "OHCI"):
        for firmware in ("SeaBIOS, pc", "OVMF x64", "OVMF ia32"):
            yield "keyboard", f"{firmware}: {keyboard}", {"keyboard": keyboard,
                                                          "options": FIRMWARE[firmware]}
    for firmware, models in CPUS.items():
        for cpu in models:
            yield "CPU", f"{firmware}, {cpu}", {"options": {**FIRMWARE[firmware], "cpu": cpu}}
    for firmware, cards in DISPLAYS.items():
        for card in cards:
            yield "display", f"{firmware}, -vga {card}", {
                "options": {**FIRMWARE[firmware], "extra": ["-vga", card]}, "screen": card != "none"}
    for video in VIDEO_MODES:
        yield "video mode", video, {"video": video}
    for firmware, sizes in SIZES.items():
        for size in sizes:
            yield "memory", f"{firmware}, {size}", {"options": {**FIRMWARE[firmware], "memory": size}}


# Machines of other emulators: the class in other_machines.py, what Bochs is told besides, what the
# boot says of the keyboard. Bochs' USB keyboards are low-speed devices, which QEMU has not.
LOW_SPEED = "enabled=1, port1=keyboard, options1=speed:low"
OTHERS = {
    "Bochs": ("Bochs", (), "keyboard: PS/2"),
    "Bochs, UHCI": ("Bochs", (f"usb_uhci: {LOW_SPEED}",), "keyboard: USB, on UHCI"),
    "Bochs, OHCI": ("Bochs", ("pci: enabled=1, chipset=i440fx, slot1=usb_ohci",
                              f"usb_ohci: {LOW_SPEED}"), "keyboard: USB, on OHCI"),
    "v86": ("V86Machine", (), "keyboard: PS/2"),
}

CELLS = [Cell(part, name, quick=(part, name) in QUICK, **more) for part, name, more in _cells()]
assert QUICK == {(cell.part, cell.name) for cell in CELLS if cell.quick}
