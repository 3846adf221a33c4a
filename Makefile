# RoninOS. `make help` lists what can be asked for; docs/testing.md and docs/debugging.md say more.

# ---- Who runs this ---------------------------------------------------------------------------
# `deps` changes what later lines of this file find, so it is finished before other goals start.
# Under sudo everything but apt-get runs as the invoking user, so that build/ stays theirs.
# Either way the goals other than `deps` are handed to one second make.

GOALS  := $(or $(MAKECMDGOALS),all)
OTHERS := $(filter-out deps toolchain-deps,$(GOALS))
FIRST  := $(filter deps toolchain-deps,$(GOALS))
UNDER_SUDO := $(and $(SUDO_UID),$(filter-out 0,$(SUDO_UID)),$(filter 0,$(shell id -u)))

ifneq ($(and $(OTHERS),$(or $(FIRST),$(UNDER_SUDO))),)

ifneq ($(UNDER_SUDO),)
AS_USER = env HOME="$$(getent passwd $(SUDO_UID) | cut -d: -f6)" \
	setpriv --reuid=$(SUDO_UID) --regid=$(SUDO_GID) --init-groups --
endif

$(firstword $(OTHERS)): $(FIRST)
	+@$(AS_USER) $(MAKE) --no-print-directory $(OTHERS)
$(filter-out $(firstword $(OTHERS)),$(OTHERS)): $(firstword $(OTHERS))
	@:
.PHONY: $(OTHERS)

else

.DEFAULT_GOAL := all
ifneq ($(filter clean,$(GOALS)),)
.NOTPARALLEL:                           # `make -j clean all` cleans first
endif

# ---- Tools -----------------------------------------------------------------------------------

TOOLCHAIN_DIR ?= $(CURDIR)/toolchain    # where `make toolchain` puts i686-elf
TOOLCHAIN_DIR := $(strip $(TOOLCHAIN_DIR))
ifeq ($(origin CROSS_COMPILE),undefined)
CROSS_COMPILE := $(firstword \
	$(if $(shell command -v i686-elf-gcc),i686-elf-) \
	$(if $(wildcard $(TOOLCHAIN_DIR)/bin/i686-elf-gcc),$(TOOLCHAIN_DIR)/bin/i686-elf-) \
	i686-linux-gnu-)
endif
CC      := $(CROSS_COMPILE)gcc
NM      := $(CROSS_COMPILE)nm
OBJDUMP := $(CROSS_COMPILE)objdump
STRIP   := $(CROSS_COMPILE)strip
HOSTCC  := gcc
HOSTAR  := ar
PYTHON  := /usr/bin/python3
QEMU    := qemu-system-i386

B := build

# ---- Kernel ----------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef \
	-Wpointer-arith -Wvla -Wwrite-strings -Wformat=2 -Wimplicit-fallthrough -Wold-style-definition
INCLUDES := -Iinclude -Ikernel

# A 486 runs what this makes: no cmov, no SSE, no FPU registers. The frame pointer makes backtraces.
CFLAGS  := -std=gnu17 -O2 -g -ffreestanding -march=i486 -mtune=generic -mgeneral-regs-only \
	-fno-pic -fno-omit-frame-pointer -fno-optimize-sibling-calls -fno-common \
	-fno-strict-aliasing -fno-stack-protector -fno-asynchronous-unwind-tables \
	-fcf-protection=none $(WARNINGS) $(INCLUDES)
ASFLAGS := -g -march=i486 $(INCLUDES)
LDFLAGS := -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,max-page-size=4096 \
	-Wl,--no-warn-rwx-segments -Wl,--fatal-warnings

SOURCES := $(sort $(wildcard boot/*.S kernel/*.c kernel/*/*.c kernel/*/*.S))
OBJECTS := $(SOURCES:%=$B/%.o)

# What needs no privileged instruction: also built for the host, for tests under sanitizers.
PURE := kernel/cmdline.c kernel/heap.c kernel/multiboot2.c \
	kernel/mem/frames.c kernel/mem/memmap.c kernel/mem/paging.c kernel/mem/window.c \
	kernel/drivers/ansi_keys.c kernel/drivers/cp437.c kernel/drivers/keyboard.c \
	kernel/drivers/terminal.c kernel/shell/line.c kernel/shell/tokenize.c \
	kernel/lib/crc32.c kernel/lib/error.c kernel/lib/number.c kernel/lib/printf.c

.PHONY: all
all: $B/roninos.elf

$B/%.c.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) $(CFLAGS) -MMD -MP -c $< -o $@

$B/%.S.o: %.S Makefile
	@mkdir -p $(@D)
	@echo "  AS      $<"
	@$(CC) $(ASFLAGS) -MMD -MP -c $< -o $@

$B/linker.ld: linker.ld kernel/mem/layout.h Makefile
	@mkdir -p $(@D)
	@$(CC) -E -P -x assembler-with-cpp $(INCLUDES) $< -o $@

# The image is linked twice: first without symbols, then with the table of its own functions,
# which is the last thing in .rodata and so moves no function. The build checks that it did not.
FUNCTIONS = $(NM) -n $(1) | awk '$$2 == "t" || $$2 == "T" { print $$1, $$3 }'

$B/roninos.elf: $(OBJECTS) $B/linker.ld kernel/symbols.awk
	@echo "  LINK    $@"
	@awk -f kernel/symbols.awk /dev/null > $B/symbols.S
	@$(CC) $(LDFLAGS) -T $B/linker.ld $(OBJECTS) $B/symbols.S -lgcc -o $B/first.elf
	@$(call FUNCTIONS,$B/first.elf) > $B/functions.txt
	@awk -f kernel/symbols.awk $B/functions.txt > $B/symbols.S
	@$(CC) $(LDFLAGS) -T $B/linker.ld $(OBJECTS) $B/symbols.S -lgcc -Wl,-Map=$B/roninos.map -o $@.new
	@$(call FUNCTIONS,$@.new) | cmp -s - $B/functions.txt || \
		{ echo "the symbol table moved the functions that it names" >&2; exit 1; }
	@mv $@.new $@
	@$(NM) -n $@ > $B/roninos.sym
	@$(OBJDUMP) -d $@ > $B/roninos.dis

-include $(shell find $B -name '*.d' 2>/dev/null)

# ---- ISO -------------------------------------------------------------------------------------

# GRUB loads every section of the file, so the ISO carries a stripped copy.
$B/roninos.stripped.elf: $B/roninos.elf
	@$(STRIP) -o $@ $<

.PHONY: iso
iso: $B/roninos.iso
$B/roninos.iso: $B/roninos.stripped.elf iso/boot/grub/grub.cfg iso/mkiso.sh
	@iso/mkiso.sh $< iso/boot/grub/grub.cfg $@
	@ls -l $@ | awk '{ print "  ISO     " $$NF ", " $$5 " bytes" }'

# ---- Cleaning --------------------------------------------------------------------------------

.PHONY: clean
clean:
	rm -rf $B

endif
