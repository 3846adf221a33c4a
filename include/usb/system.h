/*
 * What the USB core asks of the system, besides what usb/host.h has of it. thread.c gives it in
 * the kernel, a test on the host.
 */
#ifndef USB_SYSTEM_H
#define USB_SYSTEM_H

#include <types.h>

/* Interrupts off: guards all transfers and what is done in each tick. May be nested. */
uint32_t usb_lock(void);
void usb_unlock(uint32_t state);

/* Sleeps at least `ms` milliseconds. By the thread "usb". */
void usb_sleep(uint32_t ms);

/* Milliseconds since some time in the past. */
uint64_t usb_now_ms(void);

/* The thread "usb" is to take its next step soon. Any context. */
void usb_wake(void);

#endif
