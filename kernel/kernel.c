/*
 * kernel_main: the order in which the kernel comes up. Nothing else knows it.
 */
#include "mem/layout.h"
#include <boot_info.h>
#include <check.h>
#include <cmdline.h>
#include <drivers/acpi.h>
#include <drivers/input.h>
#include <drivers/pci.h>
#include <drivers/power.h>
#include <drivers/ps2.h>
#include <drivers/screen.h>
#include <drivers/serial.h>
#include <drivers/timer.h>
#include <error.h>
#include <heap.h>
#include <log.h>
#include <mem/paging.h>
#include <mem/pmm.h>
#include <mem/sections.h>
#include <mem/starve.h>
#include <mem/window.h>
#include <panic.h>
#include <sched/sched.h>
#include <sched/thread.h>
#include <selftest.h>
#include <shell/shell.h>
#include <usb/usb.h>
#include <x86/boot_stack.h>
#include <x86/cpu.h>
#include <x86/io.h>
#include <x86/irq.h>
#include <x86/stack_guard.h>
#include <x86/tables.h>

void kernel_main(uint32_t magic, uint32_t info_address);

static void report_unknown_word(void *arg UNUSED, const char *word)
{
    klog_warning("unknown word on the command line: %s", word);
}

/* Serial output and screen: whatever goes wrong in the memory steps shall be seen. */
static NO_STACK_PROTECTOR void init_diagnosis(uint32_t magic, paddr_t info_address,
                                              struct cmdline *cmdline)
{
    static char text[4096]; /* far beyond what a loader can be made to pass */

    cpu_init();
    stack_guard_init();
    serial_init();

    /* A block that cannot be read is empty here, and pmm_init() says what is wrong with it. */
    boot_info_init(magic, info_address);
    multiboot2_command_line(boot_info(), text, sizeof(text));
    cmdline_parse(text, cmdline, NULL, NULL);
    timer_init(!cmdline->pit_off);
    if (!cmdline->serial_only)
        screen_init();
    if (cmdline->selftest)
        power_enter_selftest();

    klog(STYLE_TITLE "RoninOS" STYLE_PLAIN ", a 32-bit kernel with a memory that you can see");
    cmdline_parse(text, cmdline, report_unknown_word, NULL);
}

/* The page is still as start.S has cleared it, unless a frame has leapt over what watches. */
static void guard_boot_stack(void)
{
    const uint32_t *bottom = (const uint32_t *)_boot_stack_bottom;

    for (const uint32_t *word = (const uint32_t *)_boot_stack_guard; word < bottom; word++) {
        if (*word != 0)
            panic_about((vaddr_t)word,
                        "stack overflow in thread idle (boot), before paging was on");
    }
    int error = unmap_page((vaddr_t)_boot_stack_guard);
    ASSERT(error == OK);
    boot_stack_is_guarded();
}

/* Text and read-only data become read-only, and the boot stack gets its guard page. */
static void protect_kernel(void)
{
    struct multiboot2_walk walk = { 0, 0 };
    struct multiboot2_module module;

    paging_protect((vaddr_t)_text_start, (vaddr_t)_text_end);
    paging_protect((vaddr_t)_rodata_start, (vaddr_t)_rodata_end);
    paging_protect(PAGE_SIZE, VGA_MEMORY_START);
    paging_protect(VGA_MEMORY_END, LOW_MEMORY_END);
    while (boot_info_next_module(&walk, &module)) {
        bool apart =
            module.end <= (uintptr_t)_kernel_start || module.start >= (uintptr_t)_kernel_end;
        if (apart && module.end <= paging_identity_end() && module.start % PAGE_SIZE == 0)
            paging_protect(module.start, (module.end + PAGE_SIZE - 1) & PAGE_MASK);
    }
    guard_boot_stack();
}

static void init_paging(void)
{
    paging_init(pmm_phys_limit());
    tss_set_page_directory(cpu_read_cr3());
    check_init();
    window_init(cpu.has_pse36 ? cpu.physical_address_bits : 0, cpu.has_pat);
    screen_map();
    boot_info_after_paging();
    protect_kernel();
    klog("paging enabled: identity mapping 0x%08x - 0x%08x, %u KiB of tables", PAGE_SIZE,
         paging_identity_end() - 1, paging_table_frames() * (PAGE_SIZE / KIB));
    screen_report();
}

/* To see the rest of the boot without memory. */
static void starve_boot(const struct cmdline *cmdline)
{
    if (cmdline->starve == 0)
        return;
    klog_warning("starve: request %u for memory fails%s", cmdline->starve,
                 cmdline->starve_all ? ", and all behind it" : "");
    starve_begin(cmdline->starve, cmdline->starve_all);
}

static void init_heap(bool small)
{
    heap_init(HEAP_BASE, HEAP_MAX, HEAP_INDEX_BASE);
    heap_use_small(small);

    struct heap_stats stats = heap_get_stats();
    klog("heap: base 0x%08x, %zu KiB mapped, window to 0x%08x, %zu KiB of index", HEAP_BASE,
         stats.mapped / KIB, HEAP_BASE + HEAP_MAX - 1, (stats.total - stats.mapped) / KIB);
}

/* Allocations of a block, a page and two pages, then again after they were freed. */
static const char *smoke_test(void)
{
    static const size_t sizes[] = { 16, 4096, 8192 };
    void *first[ARRAY_SIZE(sizes)];

    for (uint32_t round = 0; round < 2; round++) {
        void *blocks[ARRAY_SIZE(sizes)];

        for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++) {
            blocks[i] = kmalloc(sizes[i]);
            if (blocks[i] == NULL)
                return "kmalloc returned NULL";
            uint8_t *bytes = blocks[i];
            bytes[0] = bytes[sizes[i] - 1] = (uint8_t)(i + 1);
            if (round == 1 && blocks[i] != first[i])
                return "first fit placed a block elsewhere the second time";
            first[i] = blocks[i];
        }
        for (uint32_t i = 0; i < ARRAY_SIZE(sizes); i++) {
            uint8_t *bytes = blocks[i];
            if (bytes[0] != i + 1 || bytes[sizes[i] - 1] != i + 1)
                return "a block lost its contents";
            kfree(blocks[i]);
        }
        check_heap_drain();
    }
    return heap_validate() == HEAP_SOUND ? NULL : "the heap is not sound";
}

static void run_smoke_test(void)
{
    const char *failure = smoke_test();

    if (failure != NULL)
        panic("memory smoke test: FAIL %s", failure);
    klog("memory smoke test: " STYLE_GOOD "PASS" STYLE_PLAIN);
}

static void init_interrupts(void)
{
    irq_init(acpi_madt());
    timer_start();
    sched_init();
    interrupts_enable();
    timer_report();
    klog("scheduler: preemptive, round robin");
}

/* The last steps run in a thread of their own, because they wait for devices. */
static int start_devices_and_shell(void *arg)
{
    const struct cmdline *cmdline = arg;

    screen_start_thread();
    input_init();
    input_set_keymap(cmdline->keymap);
    ps2_init();
    serial_start_input();
    pci_init();
    usb_init();
    if (cmdline->selftest)
        selftest_run_and_leave();
    shell_run();
}

void kernel_main(uint32_t magic, uint32_t info_address)
{
    static struct cmdline cmdline;

    init_diagnosis(magic, info_address, &cmdline);
    pmm_init(magic, info_address);
    init_paging();
    starve_boot(&cmdline);
    init_heap(!cmdline.small_off);
    run_smoke_test();
    acpi_init();
    init_interrupts();

    struct thread *shell = thread_create("shell", start_devices_and_shell, &cmdline);
    if (shell == NULL)
        panic("too little memory: no stack for the shell");
    thread_detach(shell);
    sched_idle();
}
