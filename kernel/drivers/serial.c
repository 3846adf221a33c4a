/*
 * The 16550 UART at COM1.
 *
 * Sending polls, with a bound: when the device has not taken a byte for seconds, bytes are dropped,
 * so that the screen goes on without it, until it takes one again. Receiving is by interrupt.
 *
 * Source: National Semiconductor PC16550D data sheet, "Registers".
 */
#include <drivers/serial.h>
#include <drivers/console.h>
#include <drivers/input.h>
#include <log.h>
#include <x86/io.h>
#include <x86/irq.h>

#define COM1                 0x3f8

#define REG_DATA             (COM1 + 0) /* divisor low byte while LCR_DIVISOR is set */
#define REG_INTERRUPT_ENABLE (COM1 + 1) /* divisor high byte, likewise */
#define REG_FIFO_CONTROL     (COM1 + 2)
#define REG_LINE_CONTROL     (COM1 + 3)
#define REG_MODEM_CONTROL    (COM1 + 4)
#define REG_LINE_STATUS      (COM1 + 5)

#define IER_RECEIVED         0x01
#define FCR_ENABLE_CLEAR     0x87 /* FIFOs on and cleared, interrupt at 8 bytes or a pause */
#define LCR_8N1              0x03
#define LCR_DIVISOR          0x80
#define MCR_READY            0x0b /* DTR, RTS, and OUT2, which lets the interrupt through */
#define MCR_LOOPBACK         0x1e /* RTS, OUT1, OUT2, loopback */
#define LSR_RECEIVED         0x01
#define LSR_SEND_EMPTY       0x20

#define DIVISOR_115200       1
#define FIFO_SIZE            16u
#define LOOPBACK_BYTE        0xae

/*
 * A byte takes 87 us on the wire, a status read about 1 us. An emulator's line may stand still for
 * longer, while nobody reads its other end.
 */
#define POLLS_LOOPBACK       200000u
#define POLLS_SEND           10000000u

static bool present;
static bool stalled; /* the last byte was dropped: try the next only once */

static bool wait_for(uint8_t status, uint32_t polls)
{
    while (polls-- > 0) {
        uint8_t now = inb(REG_LINE_STATUS);
        if (now == 0xff)
            return false; /* nothing answers at this port */
        if (now & status)
            return true;
    }
    return false;
}

static void send(uint8_t byte)
{
    stalled = !wait_for(LSR_SEND_EMPTY, stalled ? 1 : POLLS_SEND);
    if (!stalled)
        outb(REG_DATA, byte);
}

static void serial_write(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (IS_STYLE(bytes[i]))
            continue;
        if (bytes[i] == '\n')
            send('\r');
        send((uint8_t)bytes[i]);
    }
}

static struct console serial_console = { .name = "COM1", .write = serial_write };

/*
 * Sends a byte to itself: only a real UART gives it back. Bytes that were on their way from the
 * other end may come before it, as many as the FIFO holds.
 */
static bool loopback_works(void)
{
    outb(REG_MODEM_CONTROL, MCR_LOOPBACK);
    outb(REG_DATA, LOOPBACK_BYTE);
    for (uint32_t early = 0; early <= FIFO_SIZE; early++) {
        if (!wait_for(LSR_RECEIVED, POLLS_LOOPBACK))
            return false;
        if (inb(REG_DATA) == LOOPBACK_BYTE)
            return true;
    }
    return false;
}

bool serial_init(void)
{
    outb(REG_INTERRUPT_ENABLE, 0);
    outb(REG_LINE_CONTROL, LCR_DIVISOR);
    outb(REG_DATA, DIVISOR_115200);
    outb(REG_INTERRUPT_ENABLE, 0);
    outb(REG_LINE_CONTROL, LCR_8N1);
    outb(REG_FIFO_CONTROL, FCR_ENABLE_CLEAR);
    present = loopback_works();
    outb(REG_MODEM_CONTROL, MCR_READY);
    if (present)
        console_register(&serial_console);
    return present;
}

static void receive(void)
{
    /* Bounded, in case the status never clears. */
    for (uint32_t bytes = 0; bytes < 256 && (inb(REG_LINE_STATUS) & LSR_RECEIVED); bytes++)
        input_serial_byte(inb(REG_DATA));
}

void serial_start_input(void)
{
    if (!present)
        return;
    irq_register(IRQ_COM1, receive, "COM1");
    outb(REG_INTERRUPT_ENABLE, IER_RECEIVED);

    /* Bytes that came before: an interrupt for them would never be seen as an edge. */
    uint32_t flags = interrupts_save();
    receive();
    interrupts_restore(flags);
}
