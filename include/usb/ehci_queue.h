/*
 * EHCI's queues: what the controller reads and writes in memory for one endpoint. Pure.
 *
 * A pipe is an endpoint's queue head (QH) and a ring of four transfer descriptors (qTDs). The links
 * of the ring never change: a descriptor that is not active stops the controller, which looks at it
 * again whenever it passes. So a transfer is handed over by filling descriptors from where the
 * controller stands, and making the first of them active last. At most three are in use, and the
 * fourth stops the queue.
 *
 * A queue head is written only while it is in no schedule. After an error, which halts the queue,
 * or when a transfer is taken back, it is taken out, set up anew, and put back.
 *
 * Source: EHCI Specification 1.0, "Queue Element Transfer Descriptor (qTD)", "Queue Head",
 * "Managing Control/Bulk/Interrupt Transfers via Queue Heads"; appendix B for the upper halves of
 * addresses, which are here always 0.
 */
#ifndef USB_EHCI_QUEUE_H
#define USB_EHCI_QUEUE_H

#include <types.h>
#include <usb/host.h>

/* Links, in the schedules and between descriptors. */
#define EHCI_LINK_END                (1u << 0) /* T: it leads nowhere */
#define EHCI_LINK_QH                 (1u << 1) /* type: a queue head */
#define EHCI_LINK_ADDRESS            (~0x1fu)

/* A descriptor's token, and that of the queue head's copy of it, the overlay. */
#define EHCI_TOKEN_ACTIVE            (1u << 7)
#define EHCI_TOKEN_HALTED            (1u << 6)
#define EHCI_TOKEN_BABBLE            (1u << 4)
#define EHCI_TOKEN_PID(pid)          ((uint32_t)(pid) << 8)
#define EHCI_TOKEN_ERRORS(n)         ((uint32_t)(n) << 10) /* CERR: that many are left before it halts */
#define EHCI_TOKEN_LENGTH(n)         ((uint32_t)(n) << 16) /* bytes still to move */
#define EHCI_TOKEN_TOGGLE            (1u << 31)

#define EHCI_TOKEN_GET_ERRORS(token) ((token) >> 10 & 3u)
#define EHCI_TOKEN_GET_LENGTH(token) ((token) >> 16 & 0x7fffu)

enum ehci_pid { EHCI_PID_OUT, EHCI_PID_IN, EHCI_PID_SETUP };

/* A queue head's second word: the endpoint's characteristics. */
#define EHCI_QH_ADDRESS(a)     ((uint32_t)(a))
#define EHCI_QH_ENDPOINT(e)    ((uint32_t)(e) << 8)
#define EHCI_QH_SPEED(s)       ((uint32_t)(s) << 12) /* 0 full, 1 low, 2 high */
#define EHCI_QH_TOGGLE_OF_QTD  (1u << 14)            /* DTC */
#define EHCI_QH_HEAD           (1u << 15)            /* H: of the reclamation list */
#define EHCI_QH_PACKET_SIZE(n) ((uint32_t)(n) << 16)
#define EHCI_QH_SLOW_CONTROL   (1u << 27) /* C: a control endpoint behind a translator */
#define EHCI_QH_NAK_RELOAD(n)  ((uint32_t)(n) << 28)

/* Its third word: capabilities. */
#define EHCI_QH_START(mask)    ((uint32_t)(mask)) /* S-mask: microframes of the (start) split */
#define EHCI_QH_COMPLETE(mask) ((uint32_t)(mask) << 8) /* C-mask: of the complete splits */
#define EHCI_QH_HUB(address)   ((uint32_t)(address) << 16)
#define EHCI_QH_PORT(port)     ((uint32_t)(port) << 23)
#define EHCI_QH_MULT(n)        ((uint32_t)(n) << 30) /* transactions in a microframe */
#define EHCI_QH_MASKS          0xffffu

#define EHCI_QTD_BUFFERS       5u

/* Both structures must not cross a page, and lie at multiples of 32. */
struct ehci_qtd {
    volatile uint32_t next, alternate, token;
    volatile uint32_t buffer[EHCI_QTD_BUFFERS], buffer_high[EHCI_QTD_BUFFERS];
    uint32_t unused[3];
};

struct ehci_qh {
    volatile uint32_t link, characteristics, capabilities, current;
    volatile uint32_t next, alternate, token; /* from here on the overlay */
    volatile uint32_t buffer[EHCI_QTD_BUFFERS], buffer_high[EHCI_QTD_BUFFERS];
    uint32_t unused[7];
};

#define EHCI_RING_SIZE 4u

/*
 * From `transfer` to `broken_off`: guarded by interrupts off. The rest is the thread "usb"'s.
 */
struct ehci_pipe {
    struct ehci_qh qh; /* first: a link to it is a link to the pipe */
    struct ehci_qtd ring[EHCI_RING_SIZE];
    volatile uint32_t setup[2]; /* the packet, as the controller reads it */

    struct ehci_pipe *next;        /* the driver's list of all of them */
    struct usb_endpoint *endpoint; /* NULL: a head or an end */
    struct usb_transfer *transfer; /* the pending one, or NULL */
    uint8_t first, count;          /* the descriptors in use; first: where the controller stands */
    bool broken_off; /* a control transfer may have ended amid a split: the hub keeps a buffer */

    /* Interrupt endpoints: its place in the frame list; ehci_schedule.c. */
    uint8_t period, phase;
    uint32_t bus_ns;        /* each transaction's time on the high-speed bus */
    uint32_t translator_ns; /* and on the bus behind the translator; 0: there is none */
} __attribute__((aligned(32)));

_Static_assert(sizeof(struct ehci_qtd) == 64 && sizeof(struct ehci_qh) == 96, "as in the manual");
_Static_assert(offsetof(struct ehci_pipe, ring) % 32 == 0, "descriptors are aligned");

/* The pipe that a link leads to; it leads to one. */
static inline struct ehci_pipe *ehci_pipe_of_link(uint32_t link)
{
    return (struct ehci_pipe *)(uintptr_t)(link & EHCI_LINK_ADDRESS);
}

bool ehci_is_control(const struct usb_endpoint *endpoint);

/* Whether the endpoint lies behind a translator, in a high-speed hub. */
bool ehci_is_split(const struct usb_endpoint *endpoint);

/* For these three: the memory is zeroed, the pipe in no schedule. */

/* The head of the reclamation list, alone in its circle; it never carries a transfer. */
void ehci_pipe_init_head(struct ehci_pipe *pipe);

/* The end of the periodic schedule's lists; nor does this one. */
void ehci_pipe_init_end(struct ehci_pipe *pipe);

/* A pipe that is idle, with toggle 0. address: which the device answers to. */
void ehci_pipe_init(struct ehci_pipe *pipe, struct usb_endpoint *endpoint, uint8_t address);

/* Takes address and packet size anew. The pipe is in no schedule. */
void ehci_pipe_describe(struct ehci_pipe *pipe, uint8_t address);

/* Whether a transfer can be handed over: none is pending, and none has failed since the restart. */
bool ehci_pipe_is_ready(const struct ehci_pipe *pipe);

/* Hands one over to a pipe that is ready. Its buffer does not cross a page (asserted). */
void ehci_pipe_start(struct ehci_pipe *pipe, struct usb_transfer *transfer);

/*
 * How the pending transfer does: USB_PENDING, USB_OK, or what halted the queue. *actual: bytes of
 * data moved by what has ended.
 */
enum usb_status ehci_pipe_progress(const struct ehci_pipe *pipe, uint16_t *actual);

/*
 * The pending transfer has ended with that status, and is forgotten. After USB_OK the pipe is
 * ready; else it has to be restarted.
 */
void ehci_pipe_finish(struct ehci_pipe *pipe, enum usb_status status);

/*
 * Makes a pipe ready again, with nothing in it. It is in no schedule. toggle: of the next packet,
 * 0 or EHCI_TOKEN_TOGGLE.
 */
void ehci_pipe_restart(struct ehci_pipe *pipe, uint32_t toggle);

/* The address in the queue head. */
uint8_t ehci_pipe_address(const struct ehci_pipe *pipe);

/* The toggle that the endpoint has come to. */
uint32_t ehci_pipe_toggle(const struct ehci_pipe *pipe);

#endif
