/*
 * The panic: what happened, the registers, what the address at fault belongs to, the calls, the
 * log's last lines, and then nothing more.
 *
 * It uses no lock and no heap. What matters most comes first, and a small screen gets fewer calls
 * and lines of the log, so that the first line stays on it. A part of the report that faults
 * itself, because what it reads is broken too, is left out, and the report given once more.
 */
#include <panic.h>
#include "x86/regs.h"
#include "x86/trap.h"
#include <address.h>
#include <backtrace.h>
#include <check.h>
#include <drivers/console.h>
#include <drivers/power.h>
#include <drivers/serial.h>
#include <lib/printf.h>
#include <log.h>
#include <sched/thread.h>
#include <x86/cpu.h>
#include <x86/io.h>
#include <x86/irq.h>

/* Where the report's calls begin, and what there was to be seen when the panic came. */
struct origin {
    struct regs regs;
    uint32_t esp;
    uint32_t frame; /* of panic() itself; 0: a trap */
    uint32_t cr0, cr2, cr3, cr4;
    bool about; /* an address */
    uint32_t address;
};

/* ---- Printing within the screen ---- */

#define CALLS_ALWAYS 8u /* so many calls are shown, whatever the screen's size */
#define LOG_LINES    8u
#define ROWS_LEFT    2u /* below the report: the last words, and where the cursor stands */
#define ROWS_OF_LOG  4u /* what calls leave for it */

static struct {
    uint32_t rows, columns; /* of the smallest screen; without one, nothing limits them */
    uint32_t used;          /* rows */
} page;

static void begin_page(void)
{
    struct console_screen screen;

    page.rows = page.columns = UINT32_MAX;
    page.used = 0;
    if (console_screen(&screen)) {
        page.rows = screen.rows;
        page.columns = screen.columns;
    }
}

static bool rows_left(uint32_t rows)
{
    return page.rows > page.used && page.rows - page.used > rows;
}

static void count_rows(const char *text)
{
    uint32_t column = 0;

    for (; *text != '\0'; text++) {
        if (*text == '\n' || (!IS_STYLE(*text) && ++column > page.columns)) {
            page.used++;
            column = *text != '\n';
        }
    }
}

/* As kprintf(), and counts the rows that it takes. */
static void print(const char *format, ...) PRINTF(1, 2);

static void print(const char *format, ...)
{
    static char text[KPRINTF_MAX];
    va_list args;

    va_start(args, format);
    kvsnprintf(text, sizeof(text), format, args);
    va_end(args);
    count_rows(text);
    kprintf("%s", text);
}

/* ---- The parts of the report ---- */

static void print_registers(const struct origin *origin)
{
    const struct regs *regs = &origin->regs;
    char name[THREAD_NAME_SIZE];

    print("eax 0x%08x  ebx 0x%08x  ecx 0x%08x  edx 0x%08x\n", regs->eax, regs->ebx, regs->ecx,
          regs->edx);
    print("esi 0x%08x  edi 0x%08x  ebp 0x%08x  esp 0x%08x\n", regs->esi, regs->edi, regs->ebp,
          origin->esp);
    print("eip 0x%08x  eflags 0x%08x  cs 0x%04x  ds 0x%04x  es 0x%04x\n", regs->eip, regs->eflags,
          regs->cs & 0xffff, regs->ds & 0xffff, regs->es & 0xffff);
    thread_name(name);
    print("cr0 0x%08x  cr2 0x%08x  cr3 0x%08x  cr4 0x%08x  thread %s%s\n", origin->cr0, origin->cr2,
          origin->cr3, origin->cr4, name, irq_active() ? ", in an interrupt" : "");
}

static void print_address(const struct origin *origin)
{
    static struct address_text text;

    if (!origin->about)
        return;
    address_describe(origin->address, &text);
    print("0x%08x: %s\n", origin->address, text.what);
    if (text.allocated[0] != '\0')
        print("%s\n", text.allocated);
    if (text.freed[0] != '\0')
        print("%s\n", text.freed);
    print("%s\n", text.directory);
    if (text.table[0] != '\0')
        print("%s\n", text.table);
}

static void print_call(uint32_t number, const struct backtrace_call *call)
{
    char place[ADDRESS_TEXT_MAX], times[24] = "";

    if (number >= CALLS_ALWAYS && !rows_left(ROWS_OF_LOG + ROWS_LEFT))
        return;
    address_format_code(place, sizeof(place), call->address, call->is_return_address);
    if (call->times > 1)
        ksnprintf(times, sizeof(times), " %u times", call->times);
    print("#%u 0x%08x %s%s\n", number, call->address, place, times);
}

static void print_calls(const struct origin *origin)
{
    if (origin->frame != 0)
        backtrace_walk_frame(origin->frame, print_call);
    else
        backtrace_walk(&origin->regs, origin->esp, print_call);
}

/* A line of the log, cut so that it takes one row. */
static void print_log_line(const char *line, uint32_t length)
{
    if (length > page.columns - 3)
        length = page.columns - 3;
    print("  %.*s\n", (int)length, line);
}

static void print_log(const struct origin *origin UNUSED)
{
    static char text[KPRINTF_MAX];
    uint32_t lines = 0, length = 0;

    while (lines < LOG_LINES && rows_left(lines + 1 + ROWS_LEFT))
        lines++;
    if (lines == 0)
        return;
    uint32_t position = log_tail(lines);
    print("the log's last lines:\n");
    while (log_read(&position, &text[length], 1) == 1) {
        if (text[length] == '\n' || ++length == sizeof(text)) {
            print_log_line(text, length);
            length = 0;
        }
    }
}

static void print_title(const char *text)
{
    kprintf("\n");
    begin_page();
    print(STYLE_BAD "PANIC: %s" STYLE_PLAIN "\n", text);
}

/* After the title, in this order. */
static void (*details)(void); /* printed behind the calls */

void panic_details(void (*print_them)(void))
{
    details = print_them;
}

static void print_details(const struct origin *origin UNUSED)
{
    if (details != NULL)
        details();
}

static void (*const parts[])(const struct origin *) = { print_registers, print_address, print_calls,
                                                        print_details, print_log };
static bool left_out[ARRAY_SIZE(parts)];
static uint32_t present; /* the part that is being printed */

static void print_report(const struct origin *origin, const char *text)
{
    print_title(text);
    for (present = 0; present < ARRAY_SIZE(parts); present++) {
        if (!left_out[present])
            parts[present](origin);
    }
}

/* ---- Panics inside the panic ---- */

#define MOST_REPORTS 8u

/*
 * What to do without, so that the next report gets further: the output that faulted, else the part.
 * Neither is to blame for a stack that was too small for it: a double fault has another one.
 */
static void give_up_something(const struct origin *origin)
{
    bool blamed = console_give_up_writing() || origin->regs.vector == VECTOR_DOUBLE_FAULT;

    if (!blamed && present < ARRAY_SIZE(parts))
        left_out[present] = true;
}

_Noreturn static void report(struct origin *origin, const char *format, va_list args) PRINTF(2, 0);

_Noreturn static void report(struct origin *origin, const char *format, va_list args)
{
    static uint32_t depth;
    static struct origin first;
    static char text[256];

    interrupts_disable();
    check_stop();
    if (++depth == 1) {
        first = *origin;
        first.cr0 = cpu_read_cr0();
        first.cr2 = cpu_read_cr2();
        first.cr3 = cpu_read_cr3();
        first.cr4 = cpu_read_cr4();
        kvsnprintf(text, sizeof(text), format, args);
    } else if (depth <= MOST_REPORTS) {
        give_up_something(origin);
    } else {
        halt_forever();
    }

    if (console_name(0) == NULL)
        (void)serial_init(); /* so early that nothing else can be seen */
    console_take_over();     /* writes what was waiting, so that this can fault too */
    if (depth > 1)
        kprintf("\n(a second panic while this one was being reported)");
    print_report(&first, text);
    power_leave_selftest(false);
    kprintf("The machine is halted.\n");
    halt_forever();
}

/* ---- Calling it ---- */

/* The registers as they are here. The caller's EAX, ECX and EDX are gone already. */
__attribute__((always_inline)) static inline void read_registers(struct regs *regs)
{
    __asm__ volatile("movl %%eax, %0\n\t"
                     "movl %%ecx, %1\n\t"
                     "movl %%edx, %2\n\t"
                     "movl %%ebx, %3\n\t"
                     "movl %%esi, %4\n\t"
                     "movl %%edi, %5"
                     : "=m"(regs->eax), "=m"(regs->ecx), "=m"(regs->edx), "=m"(regs->ebx),
                       "=m"(regs->esi), "=m"(regs->edi));
    __asm__ volatile("movl %%cs, %0\n\t"
                     "movl %%ds, %1\n\t"
                     "movl %%es, %2"
                     : "=r"(regs->cs), "=r"(regs->ds), "=r"(regs->es));
    regs->eflags = read_eflags();
}

/* What there is to say of the caller of panic(), whose frame this is. */
__attribute__((always_inline)) static inline void read_origin(struct origin *origin,
                                                              const uint32_t *frame)
{
    read_registers(&origin->regs);
    origin->regs.ebp = frame[0]; /* the caller's */
    origin->regs.eip = frame[1];
    origin->esp = (uint32_t)(uintptr_t)(frame + 2);
    origin->frame = (uint32_t)(uintptr_t)frame;
}

void panic(const char *format, ...)
{
    struct origin origin = { 0 };
    va_list args;

    read_origin(&origin, __builtin_frame_address(0));
    va_start(args, format);
    report(&origin, format, args);
}

void panic_about(vaddr_t address, const char *format, ...)
{
    struct origin origin = { .about = true, .address = (uint32_t)address };
    va_list args;

    read_origin(&origin, __builtin_frame_address(0));
    va_start(args, format);
    report(&origin, format, args);
}

void panic_by(const struct panic_cause *cause, const char *format, ...)
{
    struct origin origin = { .regs = *cause->regs, .esp = cause->esp };
    va_list args;

    if (cause->address != NULL) {
        origin.about = true;
        origin.address = *cause->address;
    }
    va_start(args, format);
    report(&origin, format, args);
}
