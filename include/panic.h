/*
 * What happens when an invariant is broken.
 *
 * On the host a test supplies its own panic() and so sees that the kernel would have stopped.
 */
#ifndef PANIC_H
#define PANIC_H

#include <types.h>

struct regs;

/*
 * Prints "PANIC: " and the message, the registers and the calls, on every console, and halts
 * (under `selftest`: leaves QEMU as a failure). May be called anywhere, at any interrupt state.
 */
_Noreturn void panic(const char *format, ...) PRINTF(1, 2);

/* The same, and what the address belongs to that it is about. */
_Noreturn void panic_about(vaddr_t address, const char *format, ...) PRINTF(2, 3);

/* The fault that led to a panic. */
struct panic_cause {
    const struct regs *regs;
    uint32_t esp;            /* the stack pointer when it happened */
    const uint32_t *address; /* what it is about; NULL: no address */
};

/* The same of a fault. */
_Noreturn void panic_by(const struct panic_cause *cause, const char *format, ...) PRINTF(2, 3);

/*
 * Adds to the panic that is about to follow: `print` is called once, behind the calls. For who
 * knows more than fits the first line.
 */
void panic_details(void (*print)(void));

#define ASSERT(expression)                                                                         \
    do {                                                                                           \
        if (!(expression))                                                                         \
            panic("assertion failed: %s (%s:%d)", #expression, __FILE__, __LINE__);                \
    } while (0)

#endif
