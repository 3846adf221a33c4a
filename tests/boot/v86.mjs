// A v86 machine for the boot tests (other_machines.py): usage: node v86.mjs V86_FOLDER ISO
//
// Out, a JSON object a line: {"com1": "..."} bytes of COM1, as Latin-1; {"screen": ...} the answer.
// In, likewise: {"com1": "..."} bytes to COM1, {"type": "..."} keys that type a text on a US
// keyboard, {"screen": "FILE"} writes the graphics screen there, four bytes a pixel: blue, green,
// red, nothing.
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { pathToFileURL } from "node:url";

const [folder, iso] = process.argv.slice(2);
const { V86 } = await import(pathToFileURL(path.join(folder, "build", "libv86.mjs")));
const file = (name) => ({ buffer: new Uint8Array(fs.readFileSync(name)).buffer });

const machine = new V86({
    wasm_path: path.join(folder, "build", "v86.wasm"),
    bios: file("/usr/share/seabios/bios.bin"),
    vga_bios: file("/usr/share/seabios/vgabios-stdvga.bin"),
    cdrom: file(iso),
    memory_size: 64 << 20,
    vga_memory_size: 8 << 20,
    disable_speaker: true,
    autostart: true,
});

let received = "";

function say(message) {
    process.stdout.write(JSON.stringify(message) + "\n");
}

function flush() {
    if (received) say({ com1: received });
    received = "";
}

function dumpScreen(name) {
    const vga = machine.v86.cpu.devices.vga;
    const { svga_width: width, svga_height: height, svga_bpp: bits } = vga;
    if (!vga.svga_enabled || bits !== 32) return say({ screen: null });
    fs.writeFileSync(name, vga.svga_memory.subarray(0, 4 * width * height));
    say({ screen: { width, height } });
}

machine.add_listener("serial0-output-byte", (byte) => {
    received += String.fromCharCode(byte);
});
setInterval(flush, 5);

readline.createInterface({ input: process.stdin }).on("line", (line) => {
    const { com1, type, screen } = JSON.parse(line);
    if (com1) for (const byte of Buffer.from(com1, "latin1")) machine.bus.send("serial0-input", byte);
    if (type) machine.keyboard_send_text(type);
    if (screen) dumpScreen(screen);
}).on("close", () => process.exit(0));
