#!/bin/sh
# Makes a hybrid image (CD, disk, USB stick) that boots the kernel by GRUB: on BIOS, UEFI x64 and
# UEFI ia32.
#
#   iso/mkiso.sh KERNEL GRUB.CFG IMAGE [FILE...]
#
# KERNEL goes to /boot/roninos.elf as it is: give a stripped one, for GRUB loads every section.
# FILEs go to /boot under their own names, for grub.cfg to load as modules.
set -eu

[ $# -ge 3 ] || { echo "usage: $0 KERNEL GRUB.CFG IMAGE [FILE...]" >&2; exit 2; }
kernel=$1 config=$2 image=$3
shift 3

# All that grub.cfg and booting from CD, disk and stick need; nothing else makes the image large.
# A module that one platform lacks cannot be named: all_video brings each platform's video drivers.
modules="multiboot2 normal iso9660 part_msdos part_gpt keystatus minicmd test all_video"

work=$(mktemp -d)
root=$work/root
trap 'rm -rf "$work"' EXIT
mkdir -p "$root/boot/grub"
cp "$kernel" "$root/boot/roninos.elf"
cp "$config" "$root/boot/grub/grub.cfg"
for file; do
    cp "$file" "$root/boot/"
done

grub-file --is-x86-multiboot2 "$kernel" || { echo "$kernel has no Multiboot2 header" >&2; exit 1; }
grub-mkrescue -o "$image" "$root" --locales= --fonts= --themes= --install-modules="$modules" \
    --compress=xz > "$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
