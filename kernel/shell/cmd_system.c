/*
 * Commands about the system: help, time, log, CPU, interrupts, threads, power.
 */
#include <shell/shell.h>
#include <drivers/console.h>
#include <drivers/input.h>
#include <drivers/timer.h>
#include <drivers/power.h>
#include <lib/number.h>
#include <lib/string.h>
#include <log.h>
#include <sched/thread.h>
#include <selftest.h>
#include <x86/cpu.h>
#include <x86/io.h>
#include <x86/irq.h>

static const char *command_names(uint32_t argument, uint32_t index)
{
    const struct shell_command *command = argument == 1 ? shell_command(index) : NULL;
    return command != NULL ? command->name : NULL;
}

static enum shell_result help_on(const char *name)
{
    const struct shell_command *command = shell_find(name);

    if (command == NULL)
        return shell_error("unknown command %.64s", name);
    kprintf("%s: %s\n  usage:   %s\n  example: %s\n", command->name, command->summary,
            command->usage, command->example);
    return SHELL_OK;
}

SHELL_COMMAND_COMPLETED(help, "help [NAME]", "lists the commands, or explains one", "help map",
                        command_names)
{
    const struct shell_command *command;

    if (argc > 2)
        return SHELL_USAGE;
    if (argc == 2)
        return help_on(argv[1]);
    for (uint32_t i = 0; (command = shell_command(i)) != NULL; i++)
        kprintf("%-10s %s\n", command->name, command->summary);
    return SHELL_OK;
}

SHELL_COMMAND(clear, "clear", "clears the screen", "clear")
{
    if (argc != 1)
        return SHELL_USAGE;
    kprintf("\033[H\033[2J\n"); /* every prompt follows a line break */
    return SHELL_OK;
}

SHELL_COMMAND(echo, "echo [WORD...]", "prints its words", "echo hello world")
{
    for (int i = 1; i < argc; i++) {
        console_print(argv[i], strlen(argv[i]));
        if (i + 1 < argc)
            kprintf(" ");
    }
    kprintf("\n");
    return SHELL_OK;
}

SHELL_COMMAND(uptime, "uptime", "says how long the kernel has run", "uptime")
{
    if (argc != 1)
        return SHELL_USAGE;
    uint64_t ms = timer_uptime_ms();
    uint32_t seconds = (uint32_t)(ms / 1000);
    kprintf("up %u:%02u:%02u.%02u\n", seconds / 3600, seconds / 60 % 60, seconds % 60,
            (uint32_t)(ms % 1000) / 10);
    return SHELL_OK;
}

/* SECONDS with up to three decimals, as milliseconds. */
static bool parse_seconds(char *text, uint32_t *ms)
{
    char *point = strchr(text, '.');
    uint32_t seconds, thousandths = 0;

    if (point != NULL) {
        char digits[4] = "000";
        size_t length = strlen(point + 1);
        if (length == 0 || length > 3)
            return false;
        memcpy(digits, point + 1, length);
        *point = '\0';
        if (!parse_decimal(digits, &thousandths))
            return false;
    }
    if (!parse_decimal(text, &seconds) || seconds > 1000000)
        return false;
    *ms = seconds * 1000 + thousandths;
    return true;
}

SHELL_COMMAND_BACKGROUND(sleep, "sleep SECONDS", "waits; Ctrl-C ends it, & puts it behind",
                         "sleep 1.5")
{
    uint32_t ms;

    if (argc != 2 || !parse_seconds(argv[1], &ms))
        return SHELL_USAGE;
    thread_sleep(ms);
    return SHELL_OK;
}

SHELL_COMMAND(dmesg, "dmesg", "prints the kernel's messages since the start", "dmesg")
{
    char text[256];
    size_t length;
    uint32_t position = 0;

    if (argc != 1)
        return SHELL_USAGE;
    while (!thread_interrupted() && (length = log_read(&position, text, sizeof(text))) > 0)
        console_print(text, length);
    return SHELL_OK;
}

static const char *yes_no(bool yes)
{
    return yes ? "yes" : "no";
}

SHELL_COMMAND(cpu, "cpu", "shows the CPU, its features and control registers", "cpu")
{
    if (argc != 1)
        return SHELL_USAGE;
    kprintf("vendor:    %s\n", cpu.has_cpuid ? cpu.vendor : "unknown (no CPUID)");
    if (cpu.brand[0] != '\0')
        kprintf("brand:     %s\n", cpu.brand);
    kprintf("family:    %u, model %u, stepping %u\n", cpu.family, cpu.model, cpu.stepping);
    kprintf("addresses: %u bits physical\n", cpu.physical_address_bits);
    kprintf("has:       CPUID %s, CR4 %s, TSC %s, MSR %s, PSE %s, PSE-36 %s, PAT %s, EFER %s\n",
            yes_no(cpu.has_cpuid), yes_no(cpu.has_cr4), yes_no(cpu.has_tsc), yes_no(cpu.has_msr),
            yes_no(cpu.has_pse), yes_no(cpu.has_pse36), yes_no(cpu.has_pat), yes_no(cpu.has_efer));
    kprintf("in use:    WP %s, SMEP %s, SMAP %s, UMIP %s\n", yes_no(cpu_read_cr0() & CR0_WP),
            yes_no(cpu.smep), yes_no(cpu.smap), yes_no(cpu.umip));
    kprintf("registers: cr0 0x%08x, cr3 0x%08x, cr4 0x%08x\n", cpu_read_cr0(), cpu_read_cr3(),
            cpu_read_cr4());
    return SHELL_OK;
}

SHELL_COMMAND(irq, "irq", "shows the interrupt lines and their counts", "irq")
{
    if (argc != 1)
        return SHELL_USAGE;
    for (uint32_t line = 0; line < IRQ_LINES; line++) {
        struct irq_info info = irq_info(line);
        if (info.name == NULL && info.count == 0 && info.spurious == 0)
            continue;
        kprintf("%2u  %10llu  %s", line, info.count, info.name != NULL ? info.name : "-");
        if (info.spurious != 0)
            kprintf(", %llu spurious", info.spurious);
        kprintf("\n");
    }
    kprintf("other vectors: %u, input lost: %u, output lost: %u\n", irq_unexpected(), input_lost(),
            console_dropped());
    return SHELL_OK;
}

/* Waits busily and says what the wait was by the TSC and by the ticks. */
static void time_busy_wait(uint32_t ms, bool interrupts)
{
    uint32_t flags = interrupts ? read_eflags() : interrupts_save();
    uint64_t ticks = timer_uptime_ms(), cycles = cpu_tsc();
    bool measured = timer_busy_wait_us(ms * 1000);

    cycles = cpu_tsc() - cycles;
    ticks = (timer_uptime_ms() - ticks) / TIMER_TICK_MS;
    interrupts_restore(flags);
    kprintf("busy wait of %u ms, interrupts %s, %s: %llu cycles, %llu ticks\n", ms,
            interrupts ? "on" : "off", measured ? "measured" : "guessed", cycles, ticks);
}

SHELL_COMMAND(timer, "timer [MS]", "shows what ticks and what measures, or times busy waits of MS",
              "timer 10")
{
    struct timer_info info = timer_info();
    uint32_t ms;

    if (argc > 2 || (argc == 2 && (!parse_decimal(argv[1], &ms) || ms == 0 || ms > 1000)))
        return SHELL_USAGE;
    if (argc == 2) {
        time_busy_wait(ms, true);
        time_busy_wait(ms, false);
        return SHELL_OK;
    }
    kprintf("interrupts: %s\n", irq_route_name());
    if (info.tick != NULL)
        kprintf("tick:       %s, every %u ms, line %u\n", info.tick, TIMER_TICK_MS, info.line);
    else
        kprintf("tick:       none: time passes while all threads wait\n");
    if (info.counter != NULL)
        kprintf("clock:      %s, %u Hz\n", info.counter, info.counter_hz);
    else
        kprintf("clock:      none: busy waits are guessed\n");
    return SHELL_OK;
}

SHELL_COMMAND(threads, "threads", "lists the threads: state, CPU time, use of the stack", "threads")
{
    struct thread_info info;

    if (argc != 1)
        return SHELL_USAGE;
    kprintf(" ID  NAME             STATE     CPU TIME     STACK       USED\n");
    for (uint32_t id = 0; thread_next(id, &info); id = info.id + 1)
        kprintf("%3u  %-15s  %-8s  %5u.%03u s    0x%08x  %u\n", info.id, info.name,
                thread_state_text(info.state), (uint32_t)(info.cpu_us / 1000000),
                (uint32_t)(info.cpu_us / 1000 % 1000), (uint32_t)info.stack, info.stack_used);
    return SHELL_OK;
}

static const char *thread_names(uint32_t argument, uint32_t index)
{
    static struct thread_info info;
    uint32_t id = 0;

    if (argument != 1)
        return NULL;
    do {
        if (!thread_next(id, &info))
            return NULL;
        id = info.id + 1;
    } while (index-- > 0);
    return info.name;
}

SHELL_COMMAND_COMPLETED(kill, "kill THREAD", "asks a background command, by name or ID, to stop",
                        "kill sleep", thread_names)
{
    if (argc != 2)
        return SHELL_USAGE;
    switch (thread_stop(argv[1])) {
    case THREAD_STOP_ASKED:
        kprintf("ok\n");
        return SHELL_OK;
    case THREAD_STOP_REFUSED:
        return shell_error("thread %.32s belongs to the kernel and cannot be stopped", argv[1]);
    case THREAD_STOP_UNKNOWN:
        return shell_error("unknown thread %.32s", argv[1]);
    }
    return SHELL_OK;
}

static const char *layout_names(uint32_t argument, uint32_t index)
{
    return argument == 1 ? keyboard_layout_name(index) : NULL;
}

SHELL_COMMAND_COMPLETED(keymap, "keymap [us|de]", "shows or sets the keyboard layout", "keymap de",
                        layout_names)
{
    if (argc > 2)
        return SHELL_USAGE;
    if (argc == 1)
        kprintf("%s\n", input_keymap());
    else if (!input_set_keymap(argv[1]))
        return shell_error("unknown layout %.32s", argv[1]);
    return SHELL_OK;
}

SHELL_COMMAND(poweroff, "poweroff", "switches the machine off", "poweroff")
{
    if (argc != 1)
        return SHELL_USAGE;
    power_off();
    kprintf("This machine cannot be switched off by RoninOS; it may be switched off now.\n");
    return SHELL_OK;
}

SHELL_COMMAND(reboot, "reboot", "restarts the machine", "reboot")
{
    if (argc != 1)
        return SHELL_USAGE;
    power_reboot();
}

SHELL_COMMAND(selftest, "selftest", "runs all tests inside the kernel", "selftest")
{
    if (argc != 1)
        return SHELL_USAGE;
    selftest_run();
    return SHELL_OK;
}
