/*
 * The report of an access that is not allowed.
 *
 * The first line names the kind, the access and the function; behind the panic's calls follow what
 * the address belongs to, who allocated and who freed it, and a drawing of the shadow around it.
 */
#include "check/access.h"
#include "check/drawing.h"
#include "check/frame.h"
#include "check/globals.h"
#include "check/heap.h"
#include "check/report.h"
#include "check/shadow.h"
#include "x86/regs.h"
#include <check.h>
#include <log.h>
#include <panic.h>
#include <sched/thread.h>
#include <symbols.h>

#define ROWS_AROUND 2u /* of the drawing, before and behind the one that matters */
#define CALL_LENGTH 5u /* CALL with a 32-bit displacement, as the compiler calls the checks */

static vaddr_t reported; /* the address that the details are about */

/* ---- What tests catch ---- */

static struct {
    const struct thread *thread; /* NULL: nobody waits */
    struct check_catch last;
} caught;

void check_catch_begin(void)
{
    caught.last = (struct check_catch){ .count = 0 };
    caught.thread = thread_current();
}

struct check_catch check_catch_end(void)
{
    caught.thread = NULL;
    return caught.last;
}

bool check_catch_report(const char *what)
{
    if (caught.thread == NULL || caught.thread != thread_current())
        return false;
    caught.last.count++;
    caught.last.what = what;
    return true;
}

/* ---- Details ---- */

/* Where `address` is, seen from a thing of `size` bytes at `start`. */
static void print_position(vaddr_t address, vaddr_t start, size_t size)
{
    if (address < start)
        kprintf("0x%08x is %zu bytes before its start\n", (uint32_t)address, start - address);
    else if (address < start + size)
        kprintf("0x%08x is byte %zu of it\n", (uint32_t)address, address - start);
    else
        kprintf("0x%08x is %zu bytes behind its end\n", (uint32_t)address, address - start - size);
}

void check_print_block(const struct check_block *block, vaddr_t address)
{
    vaddr_t start = check_block_start(block);

    kprintf("block 0x%08x, %zu bytes, %s: ", (uint32_t)start, block->size,
            block->magic == BLOCK_LIVE ? "live" : "freed");
    print_position(address, start, block->size);
    check_trace_print("allocated", &block->allocated);
    if (block->magic == BLOCK_FREED)
        check_trace_print("freed", &block->freed);
}

static void print_owner(vaddr_t address)
{
    const struct check_block *block = check_block_find(address);
    struct check_global global;
    struct check_variable variable;

    if (block != NULL) {
        check_print_block(block, address);
    } else if (check_global_find(address, &global)) {
        kprintf("global %s of %s, 0x%08x, %zu bytes: ", global.name, global.file,
                (uint32_t)global.start, global.size);
        print_position(address, global.start, global.size);
    } else if (check_variable_find(address, &variable)) {
        const char *function = "?";
        uint32_t offset;
        symbol_find(variable.function, &function, &offset);
        kprintf("variable %.*s of %s, 0x%08x, %zu bytes: ", (int)variable.name_length,
                variable.name, function, (uint32_t)variable.start, variable.size);
        print_position(address, variable.start, variable.size);
    }
}

static void print_shadow(vaddr_t address)
{
    vaddr_t first = (address & ~(vaddr_t)(DRAWING_ROW - 1)) - ROWS_AROUND * DRAWING_ROW;
    vaddr_t end = first + (2 * ROWS_AROUND + 1) * DRAWING_ROW;
    char text[DRAWING_COLUMNS];

    kprintf("shadow, a byte for each %u bytes:\n", GRANULE);
    for (vaddr_t row = first; row != end; row += DRAWING_ROW) {
        drawing_row(row, address, text);
        kprintf("%s\n", text);
    }
    for (uint32_t i = 0; drawing_legend(i, first, end, text); i++) {
        if (text[0] != '\0')
            kprintf("  %s\n", text);
    }
}

static void print_details(void)
{
    print_owner(reported);
    print_shadow(reported);
}

void check_details_of(vaddr_t address)
{
    check_stop();
    reported = address;
    panic_details(print_details);
}

/* ---- The first line ---- */

static const char *function_at(uint32_t address)
{
    const char *name = "?";
    uint32_t offset;

    symbol_find(address, &name, &offset);
    return name;
}

void check_report(const struct access *access, const struct regs *regs, uint32_t esp)
{
    struct regs at = *regs;
    const char *what = shadow_reason_text(shadow_reason(access->forbidden));

    if (check_catch_report(what)) {
        caught.last.access = *access;
        return;
    }
    check_details_of(access->forbidden);
    at.eip -= CALL_LENGTH; /* the call of the check is the place */
    const struct panic_cause cause = { .regs = &at, .esp = esp };
    panic_by(&cause, "%s: %s of %zu byte%s at 0x%08x by %s%s%s", what,
             access->write ? "write" : "read", access->size, access->size == 1 ? "" : "s",
             (uint32_t)access->address, function_at(at.eip), access->range ? " in " : "",
             access->range ? function_at(check_caller_of(&at) - 1) : "");
}
