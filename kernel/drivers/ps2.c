/*
 * The i8042 keyboard controller and its first port.
 *
 * Every wait has a bound. A controller that does not answer is reported and left alone; a keyboard
 * that does not answer may be late or be plugged in later, so its interrupt is taken all the same.
 * The controller translates to scancode set 1.
 *
 * Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
 * Controller".
 */
#include <drivers/ps2.h>
#include <drivers/input.h>
#include <drivers/timer.h>
#include <log.h>
#include <x86/io.h>
#include <x86/irq.h>

#define PORT_DATA               0x60
#define PORT_STATUS             0x64 /* reading */
#define PORT_COMMAND            0x64 /* writing */

#define STATUS_OUTPUT_FULL      0x01 /* a byte for us */
#define STATUS_INPUT_FULL       0x02 /* ours was not taken yet */
#define STATUS_SECOND_PORT      0x20 /* the byte is the mouse's */

#define COMMAND_READ_CONFIG     0x20
#define COMMAND_WRITE_CONFIG    0x60
#define COMMAND_DISABLE_SECOND  0xa7
#define COMMAND_SELF_TEST       0xaa
#define COMMAND_TEST_FIRST      0xab
#define COMMAND_DISABLE_FIRST   0xad
#define COMMAND_ENABLE_FIRST    0xae

#define CONFIG_FIRST_INTERRUPT  0x01
#define CONFIG_SECOND_INTERRUPT 0x02
#define CONFIG_FIRST_DISABLED   0x10
#define CONFIG_TRANSLATE        0x40

#define SELF_TEST_PASSED        0x55
#define PORT_TEST_PASSED        0x00

#define KEYBOARD_SET_LEDS       0xed
#define KEYBOARD_ENABLE_SCAN    0xf4
#define KEYBOARD_RESET          0xff
#define KEYBOARD_ACK            0xfa
#define KEYBOARD_RESEND         0xfe
#define KEYBOARD_PASSED         0xaa

/* How long to wait, in steps of STEP_US. A keyboard's own test may take most of a second. */
#define STEP_US                 50u
#define STEPS_COMMAND           (500u * 1000 / STEP_US)
#define STEPS_RESET             (1000u * 1000 / STEP_US)
#define STEPS_ACK               (200u * 1000 / STEP_US)
#define SELF_TESTS              5u /* some controllers need a few to wake up */
#define MAX_STALE_BYTES         256u

static struct scancode_decoder decoder;
static void set_leds(struct keyboard_device *keyboard, uint8_t leds);

static struct keyboard_device device = { .name = "PS/2", .set_leds = set_leds };
static volatile uint8_t answer; /* the keyboard's last ACK or RESEND; 0: none since asked */
static volatile bool asked;

static bool wait_input_empty(void)
{
    for (uint32_t step = 0; step < STEPS_COMMAND; step++) {
        if (!(inb(PORT_STATUS) & STATUS_INPUT_FULL))
            return true;
        timer_busy_wait_us(STEP_US);
    }
    return false;
}

static bool read_byte(uint32_t steps, uint8_t *byte)
{
    for (uint32_t step = 0; step < steps; step++) {
        if (inb(PORT_STATUS) & STATUS_OUTPUT_FULL) {
            *byte = inb(PORT_DATA);
            return true;
        }
        timer_busy_wait_us(STEP_US);
    }
    return false;
}

static bool command(uint8_t byte)
{
    if (!wait_input_empty())
        return false;
    outb(PORT_COMMAND, byte);
    return true;
}

static bool send(uint8_t byte)
{
    if (!wait_input_empty())
        return false;
    outb(PORT_DATA, byte);
    return true;
}

static bool ask(uint8_t byte, uint8_t *reply)
{
    return command(byte) && read_byte(STEPS_COMMAND, reply);
}

static void drop_stale_bytes(void)
{
    for (uint32_t i = 0; i < MAX_STALE_BYTES && (inb(PORT_STATUS) & STATUS_OUTPUT_FULL); i++)
        (void)inb(PORT_DATA);
}

static bool self_test(void)
{
    uint8_t reply;

    for (uint32_t test = 0; test < SELF_TESTS; test++) {
        if (ask(COMMAND_SELF_TEST, &reply) && reply == SELF_TEST_PASSED)
            return true;
        timer_busy_wait_us(50 * 1000);
    }
    return false;
}

/* Brings the controller into a known state, interrupts off. Returns NULL or what is wrong. */
static const char *init_controller(uint8_t *config)
{
    uint8_t reply;

    if (inb(PORT_STATUS) == 0xff)
        return "there is none";
    if (!command(COMMAND_DISABLE_FIRST) || !command(COMMAND_DISABLE_SECOND))
        return "it takes no commands";
    drop_stale_bytes();
    if (!ask(COMMAND_READ_CONFIG, config))
        return "it does not answer";

    *config &=
        (uint8_t) ~(CONFIG_FIRST_INTERRUPT | CONFIG_SECOND_INTERRUPT | CONFIG_FIRST_DISABLED);
    *config |= CONFIG_TRANSLATE;
    /* Firmware's emulation may fail the tests and yet serve the keyboard well: only say so. */
    if (!self_test())
        klog_warning("keyboard: the PS/2 controller's self-test failed; going on");
    /* The self-test may reset the configuration. */
    if (!command(COMMAND_WRITE_CONFIG) || !send(*config))
        return "it takes no configuration";
    if (!ask(COMMAND_TEST_FIRST, &reply) || reply != PORT_TEST_PASSED)
        klog_warning("keyboard: the PS/2 port's test failed; going on");
    if (!command(COMMAND_ENABLE_FIRST))
        return "its keyboard port cannot be enabled";
    return NULL;
}

/* Waits for a byte, skipping others: keys may be pressed meanwhile. */
static bool expect(uint8_t wanted, uint32_t steps)
{
    uint8_t byte;

    for (uint32_t i = 0; i < 16; i++) {
        if (!read_byte(steps, &byte))
            return false;
        if (byte == wanted)
            return true;
    }
    return false;
}

static bool init_keyboard(void)
{
    if (!send(KEYBOARD_RESET) || !expect(KEYBOARD_ACK, STEPS_COMMAND) ||
        !expect(KEYBOARD_PASSED, STEPS_RESET))
        return false;
    return send(KEYBOARD_ENABLE_SCAN) && expect(KEYBOARD_ACK, STEPS_COMMAND);
}

static void interrupt(void)
{
    struct key_event event;
    uint8_t status = inb(PORT_STATUS);

    if (!(status & STATUS_OUTPUT_FULL))
        return;
    uint8_t byte = inb(PORT_DATA);
    if (status & STATUS_SECOND_PORT)
        return;
    if (asked && (byte == KEYBOARD_ACK || byte == KEYBOARD_RESEND)) {
        answer = byte;
        return;
    }
    if (scancode_decode(&decoder, byte, &event))
        input_key_event(&device, event);
}

/* Sends one byte of a keyboard command, again if asked to; its answer comes by interrupt. */
static bool tell(uint8_t byte)
{
    asked = true;
    for (uint32_t attempt = 0; attempt < 2; attempt++) {
        answer = 0;
        bool sent = send(byte);
        for (uint32_t step = 0; sent && step < STEPS_ACK && answer == 0; step++)
            timer_busy_wait_us(STEP_US);
        if (answer != KEYBOARD_RESEND)
            break;
    }
    asked = false;
    return answer == KEYBOARD_ACK;
}

static void set_leds(struct keyboard_device *keyboard UNUSED, uint8_t leds)
{
    /* A keyboard that waits for the LEDs' byte types nothing: let it go on if this goes wrong. */
    if (!tell(KEYBOARD_SET_LEDS) || !tell(leds))
        (void)tell(KEYBOARD_ENABLE_SCAN);
}

void ps2_init(void)
{
    uint8_t config = 0;
    const char *wrong = init_controller(&config);

    if (wrong != NULL) {
        klog_warning("keyboard: no PS/2 controller can be used: %s", wrong);
        return;
    }

    bool answered = init_keyboard();
    drop_stale_bytes();
    irq_register(IRQ_KEYBOARD, interrupt, "PS/2 keyboard");
    if (!command(COMMAND_WRITE_CONFIG) || !send(config | CONFIG_FIRST_INTERRUPT)) {
        klog_warning("keyboard: the PS/2 controller's interrupt cannot be turned on");
        return;
    }
    input_register_keyboard(&device);
    klog("keyboard: PS/2, layout %s", input_keymap());
    if (!answered)
        klog_warning("keyboard: PS/2: it has not answered yet");
}
