/*
 * Kernel threads: making, ending, joining, looking at them.
 *
 * A stack is a slot of the stacks' window: a guard page that is never mapped, then STACK_SIZE of
 * pages, from high frames where there are any, since they are reached by this mapping only.
 */
#include <sched/thread.h>
#include "mem/layout.h"
#include "sched/sched_core.h"
#include <check.h>
#include <drivers/timer.h>
#include <error.h>
#include <heap.h>
#include <lib/number.h>
#include <lib/string.h>
#include <mem/paging.h>
#include <mem/sections.h>
#include <panic.h>
#include <sched/sched.h>
#include <x86/io.h>
#include <x86/probe.h>

#define SLOTS       1024u
#define STACK_PAGES (STACK_SIZE / PAGE_SIZE)

_Static_assert(STACKS_END - STACKS_BASE >= SLOTS * STACK_SLOT_SIZE, "the slots fit the window");

static bool slot_used[SLOTS];              /* guarded by interrupts off */
static const struct thread *owners[SLOTS]; /* who has each slot's stack, for diagnosis */
static uint32_t next_id = 1;

/* ---- Stacks ---- */

static vaddr_t stack_of_slot(uint32_t slot)
{
    return STACKS_BASE + slot * STACK_SLOT_SIZE + PAGE_SIZE;
}

static uint32_t slot_of(vaddr_t address)
{
    return (uint32_t)(address - STACKS_BASE) / STACK_SLOT_SIZE;
}

static void free_stack(vaddr_t stack)
{
    owners[slot_of(stack)] = NULL;
    check_uncover(stack - PAGE_SIZE, stack + STACK_SIZE);
    unmap_and_free_pages(stack, STACK_PAGES, FRAME_STACKS);
    slot_used[slot_of(stack)] = false;
}

/* A mapped stack's lowest address, or 0. */
static vaddr_t alloc_stack(void)
{
    uint32_t slot = 0;

    uint32_t flags = interrupts_save();
    while (slot < SLOTS && slot_used[slot])
        slot++;
    if (slot < SLOTS)
        slot_used[slot] = true;
    interrupts_restore(flags);

    if (slot == SLOTS)
        return 0;
    vaddr_t stack = stack_of_slot(slot);
    if (map_new_pages(stack, STACK_PAGES, PAGE_WRITE, FRAME_STACKS) != OK) {
        slot_used[slot] = false;
        return 0;
    }
    if (!check_cover(stack - PAGE_SIZE, stack + STACK_SIZE)) {
        free_stack(stack);
        return 0;
    }
    return stack;
}

/* ---- Life ---- */

/* The stack as context_switch() will find it: four registers, then where to return to. */
static uint32_t first_esp(vaddr_t stack)
{
    uint32_t *top = (uint32_t *)(stack + STACK_SIZE);

    *--top = 0; /* thread_begin()'s own return address: the end of every backtrace */
    *--top = (uint32_t)(uintptr_t)thread_begin;
    for (uint32_t saved = 0; saved < 4; saved++)
        *--top = 0; /* EBP, EBX, ESI, EDI */
    return (uint32_t)(uintptr_t)top;
}

struct thread *thread_create(const char *name, thread_function *function, void *arg)
{
    struct thread *thread = kcalloc(1, sizeof(*thread));
    vaddr_t stack = thread != NULL ? alloc_stack() : 0;

    if (stack == 0) {
        kfree(thread);
        return NULL;
    }
    strcopy(thread->name, name, sizeof(thread->name));
    thread->function = function;
    thread->arg = arg;
    thread->stack = stack;
    owners[slot_of(stack)] = thread;
    thread->esp = first_esp(stack);
    wait_queue_init(&thread->joiners);
    list_init(&thread->queue);
    list_init(&thread->timer);

    uint32_t flags = interrupts_save();
    thread->id = next_id++;
    sched_add(thread);
    interrupts_restore(flags);
    return thread;
}

void thread_begin(void)
{
    struct thread *self = thread_current();

    interrupts_enable();
    thread_exit(self->function(self->arg));
}

void thread_exit(int code)
{
    struct thread *self = thread_current();

    interrupts_disable();
    self->exit_code = code;
    list_remove(&self->all);
    wait_queue_wake_all(&self->joiners);
    if (self->detached)
        sched_reap(self);
    sched_exit();
}

void thread_free(struct thread *thread)
{
    ASSERT(thread->state == THREAD_DEAD);
    free_stack(thread->stack);
    kfree(thread);
}

int thread_join(struct thread *thread)
{
    ASSERT(!thread->detached && thread != thread_current());

    uint32_t flags = interrupts_save();
    while (thread->state != THREAD_DEAD)
        wait_queue_wait(&thread->joiners, WAIT_UNINTERRUPTIBLE, 0);
    interrupts_restore(flags);

    int code = thread->exit_code;
    thread_free(thread);
    return code;
}

void thread_detach(struct thread *thread)
{
    uint32_t flags = interrupts_save();
    ASSERT(!thread->detached);
    thread->detached = true;
    if (thread->state == THREAD_DEAD)
        sched_reap(thread);
    interrupts_restore(flags);
}

/* ---- Being asked to stop ---- */

bool thread_interrupted(void)
{
    return thread_current()->interrupted;
}

void thread_clear_interrupt(void)
{
    thread_current()->interrupted = false;
}

void thread_interrupt(struct thread *thread)
{
    uint32_t flags = interrupts_save();
    thread->interrupted = true;
    bool waits = thread->state == THREAD_BLOCKED || thread->state == THREAD_SLEEPING;
    if (waits && thread->interruptible)
        sched_wake(thread);
    interrupts_restore(flags);
}

void thread_set_stoppable(struct thread *thread, bool stoppable)
{
    thread->stoppable = stoppable;
}

enum thread_stop_result thread_stop(const char *id_or_name)
{
    enum thread_stop_result result = THREAD_STOP_UNKNOWN;
    struct thread *thread;
    uint32_t id;
    bool by_id = parse_decimal(id_or_name, &id);

    uint32_t flags = interrupts_save();
    LIST_FOR_EACH_ENTRY(thread, &sched_all, all) {
        if (by_id ? thread->id != id : strcmp(thread->name, id_or_name) != 0)
            continue;
        result = thread->stoppable ? THREAD_STOP_ASKED : THREAD_STOP_REFUSED;
        if (thread->stoppable) {
            thread_interrupt(thread);
            break;
        }
    }
    interrupts_restore(flags);
    return result;
}

/* ---- Looking at them ---- */

bool thread_next(uint32_t id, struct thread_info *info)
{
    struct thread *thread;

    uint32_t flags = interrupts_save();
    LIST_FOR_EACH_ENTRY(thread, &sched_all, all) {
        if (thread->id < id)
            continue;
        uint32_t esp = thread == thread_current() ? (uint32_t)(uintptr_t)__builtin_frame_address(0)
                                                  : thread->esp;
        info->id = thread->id;
        memcpy(info->name, thread->name, sizeof(info->name));
        info->state = thread->state;
        info->cpu_us = timer_stamps_us(thread->cpu_time);
        info->stack = thread->stack;
        info->stack_used = (uint32_t)(thread->stack + STACK_SIZE - esp);
        break;
    }
    interrupts_restore(flags);
    return thread != NULL;
}

const char *thread_state_text(enum thread_state state)
{
    switch (state) {
    case THREAD_READY:
        return "ready";
    case THREAD_RUNNING:
        return "running";
    case THREAD_BLOCKED:
        return "blocked";
    case THREAD_SLEEPING:
        return "sleeping";
    case THREAD_DEAD:
        return "dead";
    }
    return "unknown";
}

/* Copies a name out of what may be no thread any more. */
static void copy_name(char name[THREAD_NAME_SIZE], const struct thread *thread)
{
    for (uint32_t i = 0; i < THREAD_NAME_SIZE; i += sizeof(uint32_t)) {
        uint32_t word = 0;

        if (!probe_read((const uint32_t *)(const void *)&thread->name[i], &word))
            word = 0;
        memcpy(&name[i], &word, sizeof(word));
    }
    name[THREAD_NAME_SIZE - 1] = '\0';
    for (char *c = name; *c != '\0'; c++) {
        if (*c < ' ' || *c > '~')
            *c = '?';
    }
    if (name[0] == '\0')
        strcopy(name, "?", THREAD_NAME_SIZE);
}

void thread_name(char name[THREAD_NAME_SIZE])
{
    copy_name(name, thread_current());
}

static enum stack_part boot_stack_at(vaddr_t address, struct thread_stack *stack)
{
    vaddr_t guard = (vaddr_t)_boot_stack_guard, end = (vaddr_t)_boot_stack_top;

    if (address < guard || address >= end)
        return STACK_NONE;
    strcopy(stack->name, "idle (boot)", sizeof(stack->name));
    stack->end = end;
    return address < (vaddr_t)_boot_stack_bottom ? STACK_GUARD : STACK_OWNED;
}

enum stack_part thread_stack_at(vaddr_t address, struct thread_stack *stack)
{
    if (address < STACKS_BASE || address >= STACKS_END)
        return boot_stack_at(address, stack);

    uint32_t slot = slot_of(address);
    if (slot >= SLOTS || owners[slot] == NULL)
        return STACK_UNUSED;
    copy_name(stack->name, owners[slot]);
    stack->end = stack_of_slot(slot) + STACK_SIZE;
    return address < stack_of_slot(slot) ? STACK_GUARD : STACK_OWNED;
}
