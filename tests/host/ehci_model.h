/*
 * A controller and a device for tests of EHCI. The controller does with a queue head and its
 * descriptors what the manual says ("Managing Control/Bulk/Interrupt Transfers via Queue Heads"),
 * one packet at a time; the device answers as the test has told it and notes what it got.
 */
#ifndef TESTS_EHCI_MODEL_H
#define TESTS_EHCI_MODEL_H

#include <usb/ehci_queue.h>

#define PACKETS_MAX 64u

enum answer { ANSWER, NAK, STALL, LOST, BABBLE };

struct packet {
    enum ehci_pid pid;
    uint32_t toggle, length;
    uint8_t bytes[64];
};

struct device_model {
    struct packet packets[PACKETS_MAX]; /* that it took or gave, the first ones */
    uint32_t count;
    uint8_t data[128]; /* what it gives for IN, up to `limit` */
    uint32_t given, limit;
    enum answer answers[PACKETS_MAX]; /* to the tries, in order, again and again */
    uint32_t tries;
};

extern struct device_model model;

/* Nothing was asked, all will be answered; data: 1, 2, 3... */
void model_reset(void);

/* The controller comes to a queue head. False: it found nothing to do there. */
bool controller_visit(struct ehci_qh *qh);

#endif
