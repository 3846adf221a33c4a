/*
 * The controller and the device. See the header.
 */
#include "ehci_model.h"
#include <stdarg.h>
#include <setjmp.h>
#include <string.h>
#include <cmocka.h>

struct device_model model;

void model_reset(void)
{
    model = (struct device_model){ .limit = sizeof(model.data) };
    for (uint32_t i = 0; i < sizeof(model.data); i++)
        model.data[i] = (uint8_t)(i + 1);
}

/* One try of a packet; *length: bytes wanted, and bytes moved. */
static enum answer try_packet(enum ehci_pid pid, uint32_t toggle, uint8_t *data, uint32_t *length)
{
    enum answer answer = model.answers[model.tries++ % PACKETS_MAX];

    if (answer != ANSWER)
        return answer;
    if (pid == EHCI_PID_IN) {
        uint32_t left = model.limit - model.given;
        *length = left < *length ? left : *length;
        if (*length > 0)
            memcpy(data, model.data + model.given, *length);
        model.given += *length;
    }
    if (model.count < PACKETS_MAX) {
        struct packet *packet = &model.packets[model.count++];
        *packet = (struct packet){ pid, toggle, *length, { 0 } };
        if (*length > 0)
            memcpy(packet->bytes, data, *length);
    }
    return ANSWER;
}

/* ---- The controller ---- */

static bool fetch_next(struct ehci_qh *qh)
{
    bool is_short = EHCI_TOKEN_GET_LENGTH(qh->token) > 0 && !(qh->alternate & EHCI_LINK_END);
    uint32_t link = is_short ? qh->alternate : qh->next;

    if (link & EHCI_LINK_END)
        return false;
    assert_int_equal(link % 32, 0);
    struct ehci_qtd *qtd = (struct ehci_qtd *)(uintptr_t)link;
    if (!(qtd->token & EHCI_TOKEN_ACTIVE))
        return false;
    bool toggle_of_qtd = qh->characteristics & EHCI_QH_TOGGLE_OF_QTD;
    uint32_t toggle = (toggle_of_qtd ? qtd->token : qh->token) & EHCI_TOKEN_TOGGLE;
    qh->current = link;
    qh->next = qtd->next;
    qh->alternate = qtd->alternate;
    qh->token = (qtd->token & ~EHCI_TOKEN_TOGGLE) | toggle;
    qh->buffer[0] = qtd->buffer[0];
    return true;
}

static void retire(struct ehci_qh *qh)
{
    qh->token &= ~EHCI_TOKEN_ACTIVE;
    ((struct ehci_qtd *)(uintptr_t)qh->current)->token = qh->token;
}

static void halt(struct ehci_qh *qh, uint32_t why)
{
    qh->token |= EHCI_TOKEN_HALTED | why;
    retire(qh);
}

static void took(struct ehci_qh *qh, uint32_t length, bool is_short)
{
    qh->token ^= EHCI_TOKEN_TOGGLE;
    qh->token -= EHCI_TOKEN_LENGTH(length);
    qh->buffer[0] += length;
    if (is_short || EHCI_TOKEN_GET_LENGTH(qh->token) == 0)
        retire(qh);
}

bool controller_visit(struct ehci_qh *qh)
{
    if (qh->token & EHCI_TOKEN_HALTED)
        return false;
    if (!(qh->token & EHCI_TOKEN_ACTIVE) && !fetch_next(qh))
        return false;

    uint32_t packet_size = qh->characteristics >> 16 & 0x7ff;
    uint32_t left = EHCI_TOKEN_GET_LENGTH(qh->token);
    uint32_t wanted = left < packet_size ? left : packet_size, length = wanted;
    switch (try_packet(qh->token >> 8 & 3, qh->token >> 31, (void *)(uintptr_t)qh->buffer[0],
                       &length)) {
    case ANSWER:
        took(qh, length, length < wanted);
        break;
    case NAK:
        break;
    case STALL:
        halt(qh, 0);
        break;
    case BABBLE:
        halt(qh, EHCI_TOKEN_BABBLE);
        break;
    case LOST:
        qh->token -= EHCI_TOKEN_ERRORS(1);
        qh->token |= 1u << 3;
        if (EHCI_TOKEN_GET_ERRORS(qh->token) == 0)
            halt(qh, 0);
    }
    return true;
}
