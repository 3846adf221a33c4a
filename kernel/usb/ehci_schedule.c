/*
 * The frame list. See the header for its order.
 *
 * The controller reads while this writes: a pipe's own link is right before anything leads to it,
 * and each change is one word.
 */
#include <usb/ehci_schedule.h>
#include <lib/bits.h>
#include <panic.h>

struct ehci_pipe *ehci_schedule_follow(uint32_t link)
{
    struct ehci_pipe *pipe = ehci_pipe_of_link(link);

    return pipe->endpoint == NULL ? NULL : pipe;
}

void ehci_schedule_init(volatile uint32_t *frames, const struct ehci_pipe *end)
{
    for (uint32_t frame = 0; frame < EHCI_FRAMES; frame++)
        frames[frame] = usb_phys(&end->qh) | EHCI_LINK_QH;
}

/* ---- Bus time ---- */

/*
 * USB 2.0, "Bus Transaction Time", in ns; bits are those of the data with the worst bit stuffing.
 * The high-speed bus carries all of them, as splits those of a slower device too.
 */
static uint32_t high_speed_ns(uint32_t bits)
{
    return 917 + (4 + bits) * 25 / 12;
}

static uint32_t full_speed_ns(uint32_t bits)
{
    return 9107 + 84 * (4 + bits);
}

static uint32_t low_speed_ns(uint32_t bits)
{
    return 64773 + 677 * (4 + bits);
}

static void compute_times(struct ehci_pipe *pipe)
{
    const struct usb_device *device = pipe->endpoint->device;
    uint32_t bits = (uint32_t)pipe->endpoint->packet_size * 8 * 7 / 6;

    pipe->bus_ns = high_speed_ns(bits);
    pipe->translator_ns = 0;
    if (!ehci_is_split(pipe->endpoint))
        return;
    pipe->translator_ns = device->speed == USB_SPEED_LOW ? low_speed_ns(bits) : full_speed_ns(bits);
    /* Think time: 8 to 32 bits at full speed, of 84 ns. */
    pipe->translator_ns += (device->translator->hub_think_time + 1u) * 8 * 84;
}

static bool same_translator(const struct usb_device *a, const struct usb_device *b)
{
    return a->translator != NULL && a->translator == b->translator &&
           (!a->translator->hub_multi_tt || a->translator_port == b->translator_port);
}

static uint32_t masks_of(const struct ehci_pipe *pipe)
{
    return (pipe->qh.capabilities | pipe->qh.capabilities >> 8) & 0xff;
}

uint32_t ehci_schedule_load(const volatile uint32_t *frames, uint32_t frame, uint32_t microframe)
{
    uint32_t ns = 0;

    for (struct ehci_pipe *pipe = ehci_schedule_follow(frames[frame]); pipe != NULL;
         pipe = ehci_schedule_follow(pipe->qh.link)) {
        if (masks_of(pipe) & 1u << microframe)
            ns += pipe->bus_ns;
    }
    return ns;
}

/* Time that the translator of `device` is busy in a frame. */
static uint32_t translator_load(const volatile uint32_t *frames, uint32_t frame,
                                const struct usb_device *device)
{
    uint32_t ns = 0;

    for (struct ehci_pipe *pipe = ehci_schedule_follow(frames[frame]); pipe != NULL;
         pipe = ehci_schedule_follow(pipe->qh.link)) {
        if (same_translator(pipe->endpoint->device, device))
            ns += pipe->translator_ns;
    }
    return ns;
}

/* ---- Choosing a place ---- */

/* How full a frame would be with the pipe in these microframes, or UINT32_MAX: too full. */
static uint32_t fill_of_frame(const volatile uint32_t *frames, uint32_t frame, uint32_t mask,
                              const struct ehci_pipe *pipe)
{
    uint32_t worst = translator_load(frames, frame, pipe->endpoint->device) + pipe->translator_ns;

    if (worst > EHCI_TRANSLATOR_NS)
        return UINT32_MAX;
    for (uint32_t microframe = 0; microframe < EHCI_MICROFRAMES; microframe++) {
        if (!(mask & 1u << microframe))
            continue;
        uint32_t ns = ehci_schedule_load(frames, frame, microframe) + pipe->bus_ns;
        if (ns > EHCI_MICROFRAME_NS)
            return UINT32_MAX;
        worst = ns > worst ? ns : worst;
    }
    return worst;
}

/* The same of the fullest frame of a period. Beyond EHCI_PERIOD_MAX all frames repeat. */
static uint32_t fill_of(const volatile uint32_t *frames, uint32_t period, uint32_t phase,
                        uint32_t mask, const struct ehci_pipe *pipe)
{
    uint32_t worst = 0;

    for (uint32_t frame = phase; frame < EHCI_PERIOD_MAX; frame += period) {
        uint32_t fill = fill_of_frame(frames, frame, mask, pipe);
        worst = fill > worst ? fill : worst;
    }
    return worst;
}

static void take_place(struct ehci_pipe *pipe, uint32_t period, uint32_t phase, uint32_t start,
                       uint32_t complete)
{
    pipe->period = (uint8_t)period;
    pipe->phase = (uint8_t)phase;
    pipe->qh.capabilities = (pipe->qh.capabilities & ~EHCI_QH_MASKS) | EHCI_QH_START(start) |
                            EHCI_QH_COMPLETE(complete);
}

static bool place_with_period(const volatile uint32_t *frames, struct ehci_pipe *pipe,
                              uint32_t period)
{
    bool split = ehci_is_split(pipe->endpoint);
    uint32_t complete = split ? EHCI_SPLIT_COMPLETE : 0;
    uint32_t starts = split ? EHCI_SPLIT_START : 0xff; /* the microframes to choose from */
    uint32_t best = UINT32_MAX;

    for (uint32_t phase = 0; phase < period; phase++) {
        for (uint32_t start = 1; start <= 0x80; start <<= 1) {
            if (!(starts & start))
                continue;
            uint32_t fill = fill_of(frames, period, phase, start | complete, pipe);
            if (fill < best) {
                best = fill;
                take_place(pipe, period, phase, start, complete);
            }
        }
    }
    return best != UINT32_MAX;
}

bool ehci_schedule_place(const volatile uint32_t *frames, struct ehci_pipe *pipe)
{
    uint32_t wanted = pipe->endpoint->interval_ms > 0 ? pipe->endpoint->interval_ms : 1;
    uint32_t period = 1u << highest_bit(wanted);

    compute_times(pipe);
    period = period < EHCI_PERIOD_MAX ? period : EHCI_PERIOD_MAX;
    for (; period <= EHCI_PERIOD_MAX; period *= 2) {
        if (place_with_period(frames, pipe, period))
            return true;
    }
    pipe->period = 0;
    return false;
}

/* ---- The lists ---- */

/* The link in a frame's list that leads to the first pipe with a period of `period` or less. */
static volatile uint32_t *find_link(volatile uint32_t *frame, uint32_t period)
{
    volatile uint32_t *link = frame;

    for (struct ehci_pipe *at; (at = ehci_schedule_follow(*link)) != NULL && at->period > period;)
        link = &at->qh.link;
    return link;
}

void ehci_schedule_link(volatile uint32_t *frames, struct ehci_pipe *pipe)
{
    ASSERT(is_power_of_two(pipe->period) && pipe->period <= EHCI_PERIOD_MAX);
    pipe->qh.link = *find_link(&frames[pipe->phase], pipe->period);
    for (uint32_t frame = pipe->phase; frame < EHCI_FRAMES; frame += pipe->period)
        *find_link(&frames[frame], pipe->period) = usb_phys(&pipe->qh) | EHCI_LINK_QH;
}

void ehci_schedule_unlink(volatile uint32_t *frames, struct ehci_pipe *pipe)
{
    for (uint32_t frame = pipe->phase; frame < EHCI_FRAMES; frame += pipe->period) {
        volatile uint32_t *link = &frames[frame];
        struct ehci_pipe *at;

        while ((at = ehci_schedule_follow(*link)) != NULL && at != pipe)
            link = &at->qh.link;
        if (at == pipe) /* else it went with the link of another frame */
            *link = pipe->qh.link;
    }
}
