# RoninOS. `make help` lists what can be asked for; docs/testing.md and docs/debugging.md say more.

.DEFAULT_GOAL := all

# ---- Packages --------------------------------------------------------------------------------

# What building, run, test, debug and bench need on Debian. Not gcc-multilib: it would remove the
# cross compiler; gcc-N-multilib gets along with it.
PACKAGES := gcc make binutils gcc-i686-linux-gnu binutils-i686-linux-gnu libcmocka-dev:i386 \
	console-setup-linux grub-common grub-pc-bin grub-efi-amd64-bin grub-efi-ia32-bin xorriso \
	mtools xz-utils qemu-system-x86 qemu-system-gui seabios ovmf ovmf-ia32 python3 \
	python3-pytest python3-pytest-xdist gdb valgrind gawk util-linux zbar-tools \
	bochs bochs-x bochsbios vgabios xvfb xdotool libjemalloc2:i386 libmimalloc2.0:i386 gnuplot-nox \
	clang libclang-rt-14-dev lib32stdc++-12-dev
# npm comes with other packages of node than Debian's too.
PACKAGES += $(if $(shell command -v npm),,nodejs npm)
NPM_PACKAGES := v86@0.5.462
TOOLCHAIN_PACKAGES := gcc g++ make patch binutils-source gcc-12-source libgmp-dev libmpfr-dev \
	libmpc-dev flex bison texinfo xz-utils

define apt_install # $(1): packages
	@command -v apt-get > /dev/null || \
		{ echo "There is no apt-get here. What Debian calls these is needed: $(1)"; exit 1; }
	@missing=; for p in $(1) $(2); do \
		dpkg-query -W -f '$${db:Status-Status}' $$p 2> /dev/null | grep -qx installed || \
			missing="$$missing $$p"; done; \
	if [ -z "$$missing" ]; then echo "  DEPS    all there"; exit 0; fi; \
	[ "$$(id -u)" = 0 ] || { echo "As root (sudo make $@): needed are$$missing" >&2; exit 1; }; \
	dpkg --add-architecture i386; \
	apt-get update || echo "  DEPS    a package list could not be renewed; going on"; \
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-remove --no-install-recommends $$missing
endef

.PHONY: deps toolchain-deps
deps:
	$(call apt_install,$(PACKAGES),gcc-$$(gcc -dumpversion 2> /dev/null || echo 12)-multilib)
toolchain-deps:
	$(call apt_install,$(TOOLCHAIN_PACKAGES))

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

ifneq ($(filter clean,$(GOALS)),)
.NOTPARALLEL:                           # `make -j clean all` cleans first
endif

# ---- Tools -----------------------------------------------------------------------------------

TOOLCHAIN_DIR ?= $(CURDIR)/toolchain    # where `make toolchain` puts i686-elf
TOOLCHAIN_DIR := $(strip $(TOOLCHAIN_DIR))
ifeq ($(origin CROSS_COMPILE),undefined)
CROSS_COMPILE := $(firstword \
	$(if $(shell command -v i686-elf-gcc),i686-elf-) \
	$(if $(shell test -x "$(TOOLCHAIN_DIR)/bin/i686-elf-gcc" && echo yes),$(TOOLCHAIN_DIR)/bin/i686-elf-) \
	i686-linux-gnu-)
endif
CC      := $(CROSS_COMPILE)gcc
NM      := $(CROSS_COMPILE)nm
OBJDUMP := $(CROSS_COMPILE)objdump
ADDR2LINE := $(CROSS_COMPILE)addr2line
STRIP   := $(CROSS_COMPILE)strip
HOSTCC  := gcc
HOSTAR  := ar
PYTHON  := /usr/bin/python3

# CHECK=1: the checking build, in a folder of its own, for every goal alike.
B := build$(if $(CHECK),/variants/check)

# ---- Kernel ----------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef \
	-Wpointer-arith -Wvla -Wwrite-strings -Wformat=2 -Wimplicit-fallthrough -Wold-style-definition
INCLUDES := -Iinclude -Ikernel

# COMPILER=clang compiles the C files with clang and leaves assembling and linking to GCC; OPTIMIZE=-O0
# shows what optimisation hides. Each wants a B of its own.
COMPILER  := gcc
OPTIMIZE  := -O2
CLANG     := $(filter clang%,$(notdir $(COMPILER)))
KERNEL_CC := $(if $(CLANG),$(COMPILER) --target=i386-none-elf,$(CC))

# i686-elf makes (u)int32_t a long; everywhere else, and in the formats here, it is an int.
INT32 := -U__INT32_TYPE__ -D__INT32_TYPE__=int -U__UINT32_TYPE__ "-D__UINT32_TYPE__=unsigned int"

STACK_PROTECTOR := -fstack-protector-strong -mstack-protector-guard=global

# A 486 runs what this makes: no cmov, no SSE, no FPU registers, so that nothing needs the stack aligned
# to more than a word. The frame pointer makes backtraces.
CFLAGS  := -std=gnu17 $(OPTIMIZE) -g -ffreestanding -march=i486 -mtune=generic -mgeneral-regs-only \
	-fno-pic -fno-omit-frame-pointer -mno-omit-leaf-frame-pointer \
	-fno-optimize-sibling-calls -fno-common \
	-fno-strict-aliasing -fno-asynchronous-unwind-tables \
	$(STACK_PROTECTOR) -fcf-protection=none $(INT32) $(WARNINGS) $(INCLUDES)
# With clang the frame is also made before the first trap, or a backtrace would leave out the caller.
CFLAGS  += $(if $(CLANG),-mstack-alignment=4 -mllvm -enable-shrink-wrap=false,-mpreferred-stack-boundary=2)
ASFLAGS := -g -march=i486 $(INCLUDES)
LDFLAGS := -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,max-page-size=4096 \
	-Wl,-z,noexecstack -Wl,--fatal-warnings

SOURCES := $(sort $(wildcard boot/*.S kernel/*.c kernel/*/*.c kernel/*/*.S))

# STRETCHES=1, with a B of its own: a kernel that records the longest stretches with interrupts off.
ifeq ($(STRETCHES),)
SOURCES := $(filter-out kernel/x86/stretch.c,$(SOURCES))
else
CFLAGS += -DSTRETCHES
endif
# Undefined behaviour ends in an invalid opcode, which the panic names. The checks of every pointer cost
# up to twice the instructions, so they are made only with UBSAN=1, with a B of its own; as is that of
# the argument of __builtin_ctz and the like, which is in the way of most allocations.
SANITIZE       := -fsanitize=undefined $(if $(CLANG),,-fsanitize=bounds-strict) \
	-fsanitize-undefined-trap-on-error
SANITIZE_FEWER := -fno-sanitize=null,alignment,object-size,pointer-overflow,builtin
CFLAGS += $(SANITIZE) $(if $(UBSAN),,$(SANITIZE_FEWER))
# The frame comes before the first trap, as with clang.
CFLAGS += $(if $(CLANG),,$(if $(UBSAN),-fno-shrink-wrap))
# The way from one thread to the next is to stay below 100 instructions.
$B/kernel/sched/sched.c.o: CFLAGS += -fno-sanitize=undefined $(if $(CLANG),,-fno-sanitize=bounds-strict)

# CHECK=1: every access to memory is looked up in a shadow, and locks are checked (kernel/check/).
# Only GCC can do this for a 32-bit kernel.
ifeq ($(CHECK),)
SOURCES := $(filter-out kernel/check/%,$(SOURCES))
else
CHECKED := -fsanitize=kernel-address -fasan-shadow-offset=0x80000000 \
	--param asan-instrumentation-with-call-threshold=0 --param asan-stack=1 --param asan-globals=1 \
	-fsanitize-address-use-after-scope
# Red zones lie at multiples of 8 in a frame, and so must the frame.
CFLAGS  := $(subst stack-boundary=2,stack-boundary=4,$(CFLAGS)) -DCHECK $(CHECKED)
ASFLAGS += -DCHECK
# What checks is not checked, nor is the heap, which keeps its books in memory that is forbidden to
# all others, nor the laboratory, which touches what it is told to. linker.ld has the list too.
UNCHECKED := $(filter-out %/test_check.c,$(wildcard kernel/check/*.c)) \
	kernel/address.c kernel/address_heap.c kernel/heap.c \
	$(addprefix kernel/mem/,first_fit.c heap_index.c heap_walk.c small.c) \
	kernel/shell/cmd_laboratory.c
# kernel/check/heap.c stands for kmalloc.c, and tests that foretell where blocks are placed know
# nothing of its red zones.
SOURCES := $(filter-out kernel/kmalloc.c $(addprefix kernel/selftest/,naive_heap.c test_heap_placement.c),\
	$(SOURCES))
# What runs before there is a shadow has no red zones on its stack: the compiler writes them without
# asking.
UNCHECKED_STACKS := \
	$(addprefix kernel/,backtrace.c boot_info.c cmdline.c kernel.c log.c multiboot2.c panic.c) \
	$(addprefix kernel/drivers/,console.c counter.c framebuffer.c hpet.c pit.c pixel.c pm_timer.c psf.c \
		screen.c serial.c terminal.c timer.c tsc.c vga_text.c) \
	$(addprefix kernel/lib/,number.c printf.c string.c) \
	$(addprefix kernel/mem/,frames.c memmap.c owners.c page_table.c paging.c pmm.c \
		starve.c) \
	$(addprefix kernel/x86/,cpu.c mmu.c stack_guard.c trap.c tsc_rate.c tss.c)
$(UNCHECKED:%=$B/%.o): CFLAGS := $(filter-out $(CHECKED),$(CFLAGS))
$(UNCHECKED_STACKS:%=$B/%.o): CFLAGS += --param asan-stack=0
endif
OBJECTS := $(SOURCES:%=$B/%.o)

# What needs no privileged instruction: also built for the host, for tests under sanitizers.
PURE := \
	$(addprefix kernel/,address.c address_heap.c cmdline.c heap.c kmalloc.c multiboot2.c) \
	$(addprefix kernel/mem/,first_fit.c frames.c heap_index.c heap_walk.c memmap.c owners.c \
		page_table.c paging.c small.c starve.c window.c) \
	$(addprefix kernel/drivers/,acpi_tables.c ansi_keys.c cp437.c keyboard.c pci_decode.c \
		pci_place.c pci_scan.c pixel.c psf.c terminal.c) \
	$(addprefix kernel/usb/,core.c descriptor.c ehci.c ehci_device.c ehci_ports.c \
		ehci_queue.c ehci_quirks.c ehci_schedule.c hid.c hub.c keyboard.c ohci.c \
		ohci_device.c ohci_ports.c ohci_ring.c periodic.c pool.c uhci_td.c xhci.c \
		xhci_context.c xhci_device.c xhci_ports.c xhci_ring.c) \
	$(addprefix kernel/shell/,line.c tokenize.c) \
	$(addprefix kernel/x86/,tsc_rate.c) \
	$(addprefix kernel/check/,drawing.c frame.c order.c shadow.c) \
	$(addprefix kernel/lib/,crc32.c error.c number.c printf.c qr.c qr_text.c report.c)

.PHONY: all
all: $B/roninos.elf

# Another compiler, another build.
COMPILED_BY := $(KERNEL_CC) $(OPTIMIZE) $(STRETCHES:%=STRETCHES) $(UBSAN:%=UBSAN) $(CHECK:%=CHECK)
$B/compiler: FORCE
	@mkdir -p $B; echo "$(COMPILED_BY)" | cmp -s - $@ || echo "$(COMPILED_BY)" > $@

# What the kernel calls itself: `diag` shows it.
VERSION := $(or $(shell git describe --always --dirty 2> /dev/null),unknown)
$B/version: FORCE
	@mkdir -p $B; echo "$(VERSION)" | cmp -s - $@ || echo "$(VERSION)" > $@
$B/kernel/version.c.o: CFLAGS += -DKERNEL_VERSION='"$(VERSION)"'
$B/kernel/version.c.o: $B/version

$B/%.c.o: %.c Makefile $B/compiler
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(KERNEL_CC) $(CFLAGS) -MMD -MP -c $< -o $@

$B/%.S.o: %.S Makefile $B/compiler
	@mkdir -p $(@D)
	@echo "  AS      $<"
	@$(CC) $(ASFLAGS) -MMD -MP -c $< -o $@

# The screen's font, from package console-setup-linux: Latin, Cyrillic, lines, and all the blocks.
FONT ?= /usr/share/consolefonts/FullCyrSlav-VGA16.psf.gz

# Another font, another file.
$B/font.name: FORCE
	@mkdir -p $B; echo "$(FONT)" | cmp -s - $@ || echo "$(FONT)" > $@
$B/font.psf: $(FONT) $B/font.name
	@gzip -dcf $< > $@
$B/kernel/drivers/font.S.o: $B/font.psf
$B/kernel/drivers/font.S.o: ASFLAGS += -DFONT='"$B/font.psf"'

$B/linker.ld: linker.ld kernel/mem/layout.h include/x86/tables.h Makefile
	@mkdir -p $(@D)
	@$(CC) -E -P -x assembler-with-cpp $(INCLUDES) $(if $(CHECK),-DCHECK) $< -o $@

# The image is linked three times: first without symbols; then with the tables of its own functions and
# source lines, which are the last thing in .rodata and so move no function; then with the addresses to
# which the variables behind have moved. The build checks that nothing has moved since.
FUNCTIONS = $(NM) -n $(1) | awk '$$2 == "t" || $$2 == "T" { print $$1, $$3 }'
# Not what the compiler makes of a switch, nor the entries of tables that linker.ld collects.
VARIABLES = $(NM) -n -S $(1) | awk '$$3 ~ /^[bBdDrR]$$/ && $$4 !~ /^CSWTCH|_entry_/ { print $$1, $$2, $$4 }'
LINE_ADDRESSES = $(OBJDUMP) --dwarf=decodedline $(1) | awk '$$3 ~ /^0x/ { print substr($$3, 3) }' | \
	awk '{ printf "%8s\n", $$1 }' | tr ' ' 0 | sort -u
LINES = $(call LINE_ADDRESSES,$(1)) > $B/addresses.txt && \
	$(ADDR2LINE) -e $(1) < $B/addresses.txt | paste -d ' ' $B/addresses.txt - | \
	sed 's,$(CURDIR)/,,; s, .*?.*, ? 0,; s,:\([0-9]*\).*, \1,'

SYMBOLS = awk -f kernel/symbols.awk -v lines=$(1) -v variables=$(2) $(3) > $B/symbols.S
LINK    = $(CC) $(LDFLAGS) -T $B/linker.ld $(OBJECTS) $B/symbols.S -lgcc

$B/roninos.elf: $(OBJECTS) $B/linker.ld kernel/symbols.awk
	@echo "  LINK    $@"
	@$(call SYMBOLS,/dev/null,/dev/null,/dev/null)
	@$(LINK) -o $B/first.elf
	@$(call FUNCTIONS,$B/first.elf) > $B/functions.txt
	@$(call LINES,$B/first.elf) > $B/lines.txt
	@$(call VARIABLES,$B/first.elf) > $B/variables.txt
	@$(call SYMBOLS,$B/lines.txt,$B/variables.txt,$B/functions.txt)
	@$(LINK) -o $B/second.elf
	@$(call VARIABLES,$B/second.elf) > $B/variables.txt
	@$(call SYMBOLS,$B/lines.txt,$B/variables.txt,$B/functions.txt)
	@$(LINK) -Wl,-Map=$B/roninos.map -o $@.new
	@$(call FUNCTIONS,$@.new) | cmp -s - $B/functions.txt && \
		$(call LINES,$@.new) | cmp -s - $B/lines.txt && \
		$(call VARIABLES,$@.new) | cmp -s - $B/variables.txt || \
		{ echo "the symbol tables moved what they name" >&2; exit 1; }
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

# ---- Running ---------------------------------------------------------------------------------

MEM      ?= 128M
FIRMWARE ?= bios
MACHINE  ?= $(if $(filter bios,$(FIRMWARE)),pc,q35)
CPU      ?=
CMDLINE  ?=
QEMU_EXTRA ?=

ifneq ($(findstring ;,$(CMDLINE))$(findstring {,$(CMDLINE))$(findstring },$(CMDLINE))$(findstring $$,$(CMDLINE)),)
$(error CMDLINE must not hold ; { } or $$: GRUB would take them for its own)
endif

# UEFI: the firmware's code, and its variables as they are on a new machine (what is written to them
# is forgotten). Only the 64-bit one needs the 64-bit QEMU.
OVMF := /usr/share/OVMF
PFLASH = -drive if=pflash,unit=0,format=raw,readonly=on,file=$(OVMF)/$(1) \
	-drive if=pflash,unit=1,format=raw,snapshot=on,file=$(OVMF)/$(2)
FIRMWARE_bios   :=
FIRMWARE_uefi   := $(call PFLASH,OVMF_CODE_4M.fd,OVMF_VARS_4M.fd)
FIRMWARE_uefi32 := $(call PFLASH,OVMF32_CODE_4M.secboot.fd,OVMF32_VARS_4M.fd)
QEMU := $(if $(filter uefi,$(FIRMWARE)),qemu-system-x86_64,qemu-system-i386)

ifeq ($(filter bios uefi uefi32,$(FIRMWARE)),)
$(error FIRMWARE is one of bios, uefi and uefi32)
endif

# KVM is unusable on some machines that have it; emulation works everywhere.
QEMU_RUN = $(QEMU) -accel tcg $(FIRMWARE_$(FIRMWARE)) -M $(MACHINE) $(if $(CPU),-cpu $(CPU)) -m $(MEM) -nic none \
	-cdrom $(RUN_ISO) $(if $(DISPLAY)$(WAYLAND_DISPLAY),,-display none) $(QEMU_EXTRA)

# Words for the kernel go into a grub.cfg of their own.
RUN_ISO := $(if $(CMDLINE),$B/run.iso,$B/roninos.iso)

$B/run.iso: $B/roninos.stripped.elf iso/mkiso.sh FORCE
	@sed -n '/^if.*grub_platform/,/^fi/p' iso/boot/grub/grub.cfg > $B/run.cfg
	@printf 'set timeout=0\nmenuentry RoninOS {\n multiboot2 /boot/roninos.elf %s\n}\n' \
		'$(subst ','\'',$(CMDLINE))' >> $B/run.cfg
	@iso/mkiso.sh $< $B/run.cfg $@

.PHONY: run
run: $(RUN_ISO)
	@echo "RoninOS in QEMU$(if $(DISPLAY)$(WAYLAND_DISPLAY),, (no display: the console is here)). \
	To leave: type poweroff, or press Ctrl-A, then X."
	@$(QEMU_RUN) -serial mon:stdio

.PHONY: debug
debug: $(RUN_ISO)
	@echo "QEMU waits for gdb. Its COM1 goes to $B/debug.log. 'continue' starts, 'quit' ends both."
	@rm -f $B/gdb.sock; setsid $(QEMU_RUN) -S -serial file:$B/debug.log \
		-gdb unix:$B/gdb.sock,server=on,wait=off & pid=$$!; trap "kill $$pid 2> /dev/null" EXIT; \
	while [ ! -S $B/gdb.sock ]; do kill -0 $$pid || exit 1; sleep 0.1; done; \
	gdb -q $B/roninos.elf $(if $(filter uefi,$(FIRMWARE)),-ex 'set architecture i386:x86-64',-ex 'set architecture i386') \
		-ex 'target remote $B/gdb.sock' \
		-ex 'hbreak kernel_main'

# ---- Tests -----------------------------------------------------------------------------------

H := $B/host
HOST_FLAGS := -Itests/host/include -m32 -std=gnu17 -g -O1 -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer $(WARNINGS) $(INCLUDES)

HOST_TESTS := $(patsubst tests/host/%.c,$H/%,$(sort $(wildcard tests/host/test_*.c)))
HOST_HELP  := $(filter-out tests/host/test_%,$(wildcard tests/host/*.c))

$H/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  HOSTCC  $<"
	@$(HOSTCC) $(HOST_FLAGS) -MMD -MP -c $< -o $@

# Archives: a test gets those pure modules, and those helpers, that it uses.
$H/libpure.a: $(PURE:%.c=$H/%.o)
$H/libsupport.a: $(HOST_HELP:%.c=$H/%.o)
$H/lib%.a:
	@rm -f $@ && $(HOSTAR) rcs $@ $^

$H/test_%: $H/tests/host/test_%.o $H/libsupport.a $H/libpure.a
	@$(HOSTCC) $(HOST_FLAGS) $(filter %.o,$^) -L$H -lsupport -lpure -lsupport -lcmocka -o $@

# The guarded kmalloc(): all other tests take the bare one of tests/host/bare_kmalloc.c.
$H/test_kmalloc $H/test_kmalloc_errors $H/test_starve: $H/kernel/kmalloc.o

# What fuzzing has come upon, replayed; then fuzzing itself, on the same target.
FUZZ_TARGETS := $(filter-out test_%,$(notdir $(basename $(wildcard tests/fuzz/*.c))))
FUZZ_SECONDS ?= 60
HOST_TESTS   += $(FUZZ_TARGETS:%=$H/test_corpus_%)

$H/test_corpus_%: tests/fuzz/test_corpus.c $H/tests/fuzz/%.o $H/libsupport.a $H/libpure.a
	@$(HOSTCC) $(HOST_FLAGS) -Itests/host -DCORPUS='"tests/fuzz/corpus/$*"' $(filter %.c %.o,$^) \
		-L$H -lsupport -lpure -lsupport -lcmocka -o $@
$H/tests/fuzz/%.o: HOST_FLAGS += -Itests/host

FUZZ_LIBS  := -L$(dir $(shell $(HOSTCC) -m32 -print-libgcc-file-name))
FUZZ_FLAGS := $(filter-out -fsanitize=%,$(HOST_FLAGS)) -Itests/host -Wno-format-nonliteral \
	-fsanitize=fuzzer,address,undefined
FUZZ_WITH   = $(addprefix tests/host/,bare_kmalloc.c heap_arena.c heap_model.c heap_play.c support.c) $(HEAP_SOURCES)

.PHONY: fuzz
fuzz: $(FUZZ_TARGETS:%=$H/fuzz-%)
	@for target in $(FUZZ_TARGETS); do mkdir -p $B/fuzz/$$target; \
		$H/fuzz-$$target -max_total_time=$(FUZZ_SECONDS) -max_len=1024 -detect_leaks=0 -print_final_stats=1 \
			-artifact_prefix=$B/fuzz/$$target- $B/fuzz/$$target tests/fuzz/corpus/$$target || exit 1; done
$H/fuzz-%: tests/fuzz/%.c FORCE
	@echo "  FUZZCC  $@"
	@clang $(FUZZ_FLAGS) $(FUZZ_LIBS) $< $(FUZZ_WITH) -lcmocka -o $@

# Does a host test notice every small change of these sources? tests/mutants.txt explains the others.
# FILES=..., MUTATE='--line 20-40 --list' and so on; two jobs want two free cores.
FILES ?= $(addprefix kernel/,cmdline.c multiboot2.c mem/frames.c)
.PHONY: mutants
mutants: host-tests
	@$(PYTHON) tests/mutate.py --compiler "$(HOSTCC) $(HOST_FLAGS)" --host $H --tests "$(HOST_TESTS)" \
		$(MUTATE) $(FILES)

.SECONDARY: # keep the objects: removing them would be the last thing that `make test` prints

# The same kernel built in other ways, each in a B of its own: image and tests must not care. The checking
# build is one of them, and has no others.
VARIANTS := $(if $(CHECK),,gcc-O0 clang-O2 clang-O0 ubsan check)
VARIANT_gcc-O0   := OPTIMIZE=-O0
VARIANT_clang-O2 := COMPILER=clang
VARIANT_clang-O0 := COMPILER=clang OPTIMIZE=-O0
VARIANT_ubsan    := UBSAN=1
VARIANT_check    := CHECK=1 COMPILER=gcc
VARIANT_BUILDS   := $(VARIANTS:%=$B/variants/%)

# Where a test of theirs names no CPU, these run on one with all that QEMU has. The others, and the
# kernel that people get, run on QEMU's plainest: with a BIOS that is qemu32.
ON_MAX       := gcc-O0 clang-O2 ubsan
TEST_VARIANT  = --variant $B/variants/$1$(if $(filter $1,$(ON_MAX)),:max)
TEST_VARIANTS = $(foreach variant,$(VARIANTS),$(call TEST_VARIANT,$(variant)))

.PHONY: variants test-variants $(VARIANT_BUILDS)
variants: $(VARIANT_BUILDS)
$(VARIANT_BUILDS): $B/variants/%:
	+@$(MAKE) --no-print-directory B=$@ $(VARIANT_$*) iso
test-variants: variants
	@$(PYTHON) tests/run.py --variants-only "quick or variant" $(TEST_VARIANTS)

.PHONY: host-tests test test-all
host-tests: $(HOST_TESTS)

# Both end with a line "N passed, N failed". Of the variants `test` takes the checking build, and of that
# what no other build can show.
TEST_BUILDS := $(filter %/check,$(VARIANT_BUILDS))
test: iso host-tests heap-replay $H/heap-worst $(TEST_BUILDS)
	@RONINOS_BUILD=$B $(PYTHON) tests/run.py --only quick $(TEST_BUILDS:%=--variant %) \
		--variants-only variant $(HOST_TESTS)
test-all: iso host-tests heap-replay $H/heap-worst build/npm/installed variants
	@RONINOS_BUILD=$B $(PYTHON) tests/run.py $(TEST_VARIANTS) $(HOST_TESTS)

# Screen and keyboard on every machine: prints the table of docs/hardware.md.
.PHONY: test-matrix
test-matrix: iso build/npm/installed
	@RONINOS_BUILD=$B $(PYTHON) tests/boot/matrix.py $(if $(WRITE),--write)

# Emulators that come from npm: for all builds the same.
build/npm/installed: Makefile
	@mkdir -p $(@D)
	@echo "  NPM     $(NPM_PACKAGES)"
	@npm install --prefix $(@D) --no-audit --no-fund --loglevel=error $(NPM_PACKAGES) > $(@D)/log 2>&1 || \
		{ cat $(@D)/log >&2; exit 1; }
	@touch $@

# Counted and timed code has the kernel's own optimisation and no sanitizers. Symbols are bound
# before the start, so that no lookup is counted.
BENCH_FLAGS := -Itests/bench/include -m32 -std=gnu17 -g -O2 -march=i686 -mtune=generic \
	-fno-strict-aliasing -fno-pie -no-pie -Wl,-z,now $(WARNINGS) $(INCLUDES) -Itests/host
BENCH_CC = $(HOSTCC) $(BENCH_FLAGS)
HEAP_SOURCES := $(filter kernel/heap.c $(addprefix kernel/mem/,heap_%.c first_fit.c small.c starve.c),$(PURE))
BENCH_HEADERS := $(shell find include kernel tests/host tests/bench -name '*.h')

# Replays a trace on the kernel's heap: docs/testing.md.
.PHONY: heap-replay
heap-replay: $H/heap-replay
$H/heap-replay $H/heap-replay-checked: $(addprefix tests/bench/,heap_replay.c trace.c system.c) \
		tests/host/heap_model.c kernel/kmalloc.c $(HEAP_SOURCES) $(BENCH_HEADERS) Makefile
	@mkdir -p $(@D)
	@echo "  HOSTCC  $@"
	@$(BENCH_CC) $(ALWAYS_ON) $(filter %.c,$^) -o $@

# The same with all that is always on in the kernel, to show what that costs.
$H/heap-replay-checked: ALWAYS_ON := $(STACK_PROTECTOR) $(SANITIZE) $(SANITIZE_FEWER)

# Every instruction of the heap counts itself first: its worst operations, one by one.
$H/%.counted.S: %.c $(BENCH_HEADERS) Makefile
	@mkdir -p $(@D)
	@$(BENCH_CC) -g0 -S $< -o $(@:.S=.s)
	@sed 's/^\t[a-z].*/\tpushfl; incl instructions; popfl\n&/' $(@:.S=.s) > $@
$H/heap-worst: $(addprefix tests/bench/,heap_worst.c trace.c system.c) tests/host/bare_kmalloc.c \
		$(HEAP_SOURCES:%.c=$H/%.counted.S) $(BENCH_HEADERS) Makefile
	@echo "  HOSTCC  $@"
	@$(BENCH_CC) $(filter %.c %.S,$^) -o $@

# Traces: the given ones if they are there; else such as they are, made and recorded here.
TRACES ?= $(if $(wildcard ../shared/traces/*.tr*),../shared/traces,$B/traces)
MADE_TRACES := segments $(if $(filter $B/traces,$(TRACES)),lifo mix comb python gcc)
BENCH_TRACES := $(TRACES) $(filter-out $(TRACES),$B/traces)
MAKE_TRACE   := $(PYTHON) tests/bench/make_trace.py
RECORDED_python = $(PYTHON) -m ast tests/boot/matrix.py
RECORDED_gcc    = $(HOSTCC) -O2 $(INCLUDES) -c kernel/usb/xhci.c -o /dev/null

$B/traces/record.so: tests/bench/record.c
	@mkdir -p $(@D)
	@$(HOSTCC) -O2 -fPIC -shared $(WARNINGS) $< -o $@
$(addprefix $B/traces/,lifo.tr mix.tr comb.tr segments.tr): $B/traces/%.tr: tests/bench/make_trace.py
	@mkdir -p $(@D)
	@echo "  TRACE   $@"
	@$(MAKE_TRACE) $@ $*
$(addprefix $B/traces/,python.tr gcc.tr): $B/traces/%.tr: $B/traces/record.so tests/bench/make_trace.py
	@echo "  TRACE   $@"
	@$(MAKE_TRACE) $@ record $< $(RECORDED_$*)

.PHONY: bench
bench: $B/bench/memory $H/heap-replay $H/heap-replay-checked $H/heap-worst $(MADE_TRACES:%=$B/traces/%.tr) bench-images
	@$(PYTHON) tests/bench/run.py $(if $(WRITE),--write) $(if $(OPERATIONS),--first $(OPERATIONS)) $B \
		$(BENCH_TRACES)

# How much memory is held while a trace is replayed, in pictures.
.PHONY: bench-figures
bench-figures: $H/heap-replay $(MADE_TRACES:%=$B/traces/%.tr)
	@$(PYTHON) tests/bench/figures.py $B docs/images $(BENCH_TRACES)

$B/bench/memory: tests/bench/memory.c tests/bench/system.c \
		$(addprefix tests/host/,frames_model.c bare_kmalloc.c) \
		$(filter kernel/heap.c kernel/multiboot2.c kernel/mem/%,$(PURE)) $(BENCH_HEADERS) Makefile
	@mkdir -p $(@D)
	@$(BENCH_CC) $(filter %.c,$^) -o $@

# The kernel's own figures, and those of a kernel that records the longest stretches with interrupts off.
.PHONY: bench-kernel bench-images
bench-images: iso
	+@$(MAKE) --no-print-directory B=$B/stretches STRETCHES=1 iso
bench-kernel: bench-images
	@$(PYTHON) tests/bench/kernel.py $B

# The pictures and listings in docs/ come from the running kernel.
.PHONY: figures
figures: iso
	@RONINOS_BUILD=$B $(PYTHON) tests/boot/figures.py

.PHONY: format
format:
	clang-format -i $(shell git ls-files '*.c' '*.h')

# ---- The i686-elf toolchain ------------------------------------------------------------------

# i686-elf from Debian's source packages; `sudo make toolchain-deps toolchain` on a new machine.
.PHONY: toolchain
toolchain:
	@tests/toolchain.sh $(TOOLCHAIN_DIR)

# ---- Help and cleaning -----------------------------------------------------------------------

.PHONY: help
help:
	@echo "make              builds $B/roninos.elf"
	@echo "make iso          builds $B/roninos.iso: a hybrid image for CD, disk and USB stick"
	@echo "make run          boots it in QEMU: a window, or the terminal where there is no display"
	@echo "                  MEM=256M FIRMWARE=uefi MACHINE=q35 CPU=486 CMDLINE='keymap=de selftest'"
	@echo "                  FONT=FILE.psf.gz embeds another font"
	@echo "make test         the tests that a change must pass, some of them in the checking build;"
	@echo "                  make test-all: every configuration"
	@echo "make CHECK=1 ...  the same with a kernel that checks its accesses to memory and its locks"
	@echo "make test-variants  quick boot tests for each of: $(VARIANTS);"
	@echo "                  COMPILER=clang, OPTIMIZE=-O0 and UBSAN=1, with a B= of its own, build one"
	@echo "make test-matrix  screen and keyboard on every machine; prints the table of docs/hardware.md"
	@echo "make fuzz         fuzzes the heap against its model for FUZZ_SECONDS, 60 if not given"
	@echo "make mutants      breaks sources in small ways: do host tests notice? FILES=..., MUTATE=..."
	@echo "make debug        QEMU waiting for gdb, gdb attached with symbols"
	@echo "make bench        the performance tables; TRACES=FOLDER takes other traces, WRITE=1 renews"
	@echo "                  the figures that it compares with; make bench-figures: pictures in docs/"
	@echo "make heap-replay  builds $H/heap-replay: a trace replayed on the heap"
	@echo "make deps         installs the Debian packages that all of this needs (as root)"
	@echo "make figures      renews the screenshot and listings in docs/"
	@echo "make format       formats the C sources (needs clang-format)"
	@echo "make toolchain    builds i686-elf-gcc into $(TOOLCHAIN_DIR) (toolchain-deps before it)"
	@echo "make clean        removes $B/"
	@echo "CROSS_COMPILE=    picks the toolchain; now: $(CROSS_COMPILE)"

.PHONY: clean
clean: # only what this Makefile has made
	@[ ! -e $B ] || [ -e $B/compiler ] || { echo "$B is not a build folder of RoninOS" >&2; exit 1; }
	rm -rf $B

.PHONY: FORCE
FORCE:

endif
