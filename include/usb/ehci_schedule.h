/*
 * EHCI's periodic schedule: in which frames and microframes an interrupt endpoint is asked. Pure.
 *
 * The frame list has a link for each of 1024 frames of 1 ms, which the controller follows in turn.
 * A pipe with the period P and the phase p is in the frames p, p + P, p + 2P...; periods are powers
 * of two up to 32. Every frame's list is sorted, longest period first. By that the lists of two
 * frames that share a pipe are the same from there on, and one link in each pipe serves all.
 *
 *     frame 0 -> 32.0 --> 8.0 --> 1.0 --> end        P.p: a pipe
 *     frame 1 ----------> 8.1 ---^
 *     frame 8 ----------> (8.0)
 *
 * All end in a queue head that does nothing, because some AMD chipsets (SB700 and later) do not
 * take an empty entry of the frame list for one.
 *
 * How much of the bus is taken is counted from these lists when it is asked.
 *
 * Source: EHCI Specification 1.0, "Periodic Frame List", "Periodic Schedule", "Split Transaction
 * Interrupt"; USB 2.0, "Bus Transaction Time", "Microframe Pipeline".
 */
#ifndef USB_EHCI_SCHEDULE_H
#define USB_EHCI_SCHEDULE_H

#include <types.h>
#include <usb/ehci_queue.h>

#define EHCI_FRAMES         1024u
#define EHCI_MICROFRAMES    8u
#define EHCI_PERIOD_MAX     32u /* frames */

/* What may be given to interrupt transactions: of each microframe, and behind a translator. */
#define EHCI_MICROFRAME_NS  100000u /* 80 % */
#define EHCI_TRANSLATOR_NS  250000u /* what surely ends before the last complete split's turn */

/*
 * Splits start in microframe 0; the translator answers by then. They never reach into the next
 * frame.
 */
#define EHCI_SPLIT_START    0x01u
#define EHCI_SPLIT_COMPLETE 0x1cu

/* An empty frame list: EHCI_FRAMES words, at a page's start. end: by ehci_pipe_init_end(). */
void ehci_schedule_init(volatile uint32_t *frames, const struct ehci_pipe *end);

/*
 * Chooses the least busy place for a pipe, which is in no list: the largest period not above what
 * its endpoint wants, or a longer one if the bus is full. False when there is none; the pipe has
 * then no place. Sets period, phase and the masks.
 */
bool ehci_schedule_place(const volatile uint32_t *frames, struct ehci_pipe *pipe);

/* Puts a pipe that has a place into the list, and takes it out. */
void ehci_schedule_link(volatile uint32_t *frames, struct ehci_pipe *pipe);
void ehci_schedule_unlink(volatile uint32_t *frames, struct ehci_pipe *pipe);

/* The pipe that a link of the periodic schedule leads to, or NULL where it ends. */
struct ehci_pipe *ehci_schedule_follow(uint32_t link);

/* Time taken in a microframe of a frame, in ns. */
uint32_t ehci_schedule_load(const volatile uint32_t *frames, uint32_t frame, uint32_t microframe);

#endif
