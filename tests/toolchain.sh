#!/bin/sh
#
# toolchain.sh - build the i686-elf cross compiler (`make toolchain`)
#
# Makes binutils and a C-only GCC with libgcc out of the source packages
# Debian ships, so that the kernel can be built by a compiler that knows
# nothing of the host it runs on. Needs no root rights and downloads nothing:
# the packages named below have to be installed beforehand.
#
# All work is done in TARGET.build, and the last step is to rename the finished
# toolchain to TARGET: if TARGET is there, it is complete. After a failure
# TARGET.build stays, with its logs, until the next run starts anew.
#
# Usage: [JOBS=n] toolchain.sh TARGET

set -eu

packages="binutils-source gcc-12-source g++ make patch bison flex xz-utils \
libgmp-dev libmpfr-dev libmpc-dev"

die() {
	echo "toolchain: $*" >&2
	exit 1
}

if [ $# -ne 1 ] || [ -z "$1" ]; then
	echo "usage: [JOBS=n] $0 TARGET" >&2
	exit 2
fi

parent=$(cd "$(dirname "$1")" && pwd)
target=$parent/$(basename "$1")
build=$target.build
stage=$build/stage
jobs=${JOBS:-$(nproc)}

if [ -x "$target/bin/i686-elf-gcc" ]; then
	echo "toolchain: already there, in $target"
	exit 0
fi
case $target in
*[!A-Za-z0-9/._+-]*) die "GCC cannot be built in a path like '$target'" ;;
esac
if [ -e "$target" ]; then
	rmdir "$target" || die "$target is in the way: it is no toolchain"
fi

# Is everything here that we need?

binutils=$(ls /usr/src/binutils/binutils-*.tar.xz 2>/dev/null | tail -n 1)
gcc=$(ls /usr/src/gcc-12/gcc-12*.tar.xz 2>/dev/null | tail -n 1)
missing=
[ -n "$binutils" ] || missing="$missing binutils-source"
[ -n "$gcc" ] || missing="$missing gcc-12-source"
for tool in g++ make patch bison flex xz; do
	command -v $tool >/dev/null || missing="$missing $tool"
done
for header in gmp.h mpfr.h mpc.h; do
	echo "#include <$header>" | g++ -E -x c++ - >/dev/null 2>&1 ||
		missing="$missing $header"
done
[ -z "$missing" ] || die "missing:$missing; as root, run
  apt-get install --no-install-recommends $packages"

# phase NAME FOLDER COMMAND...: runs COMMAND in FOLDER and logs what it says.
# Its environment is a clean one: a calling make would pass on its own flags.
phase() {
	log=$build/$1.log folder=$2
	echo "toolchain: $1 (log: $log)"
	shift 2
	(cd "$folder" && exec env -i HOME="$build" LC_ALL=C \
		PATH="$stage$target/bin:$PATH" CFLAGS=-O2 CXXFLAGS=-O2 \
		CFLAGS_FOR_TARGET=-O2 "$@") >"$log" 2>&1 || {
		tail -n 30 "$log" >&2
		die "that failed; the whole log is $log"
	}
}

rm -rf "$build"
mkdir -p "$build/binutils/obj" "$build/gcc/obj"

# MAKEINFO=true leaves out the manuals, most of which Debian has removed from
# GCC's source anyway; its patch keeps the build from tripping over the gaps.
# libgcc is made for GCC's default processor. That has to be the i486: code
# for an i686 may use cmov, which older processors lack.

cd "$build/binutils"
phase binutils-unpack    .   tar -xf "$binutils" --strip-components=1
phase binutils-configure obj ../configure --target=i686-elf \
	--prefix="$target" --disable-nls --disable-werror --disable-gprofng
phase binutils-build     obj make -j"$jobs" MAKEINFO=true
phase binutils-install   obj make MAKEINFO=true DESTDIR="$stage" install-strip

cd "$build/gcc"
phase gcc-unpack         .   tar -xf "$gcc" --strip-components=1
phase gcc-patch          .   patch -p2 -i \
	"${gcc%/*}/debian/patches/gcc-gfdl-build.diff"
phase gcc-configure      obj ../configure --target=i686-elf \
	--prefix="$target" --with-arch=i486 --enable-languages=c \
	--without-headers --disable-nls --disable-lto
phase gcc-build          obj make -j"$jobs" MAKEINFO=true \
	all-gcc all-target-libgcc
phase gcc-install        obj make MAKEINFO=true DESTDIR="$stage" \
	install-gcc install-target-libgcc

# A last look before it may be used: can it compile, and link with libgcc?

cd "$build"
echo 'long long quotient(long long a, long long b) { return a / b; }' >try.c
phase try                .   i686-elf-gcc -ffreestanding -nostdlib \
	-Wl,-e,quotient -o try try.c -lgcc

mv "$stage$target" "$target"
rm -rf "$build"
echo "toolchain: done, in $target"
