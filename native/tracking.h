/* SPDX-License-Identifier: Apache-2.0 */
/* tracking.h - how far a connection has come, and how long it may be silent there */
#ifndef SVCPLANE_TRACKING_H
#define SVCPLANE_TRACKING_H

#include <stdbool.h>
#include <stdint.h>

#include "packet.h"
#include "tuple.h"

/* Directions of a flow. */
#define TRACKING_ORIGINAL 0
#define TRACKING_REPLY	  1

/**
 * DOC: Events, not states
 *
 * A box in the middle does not know in what state the two ends are; it knows what it saw. So a flow keeps a bit
 * for each thing seen, and everything else is derived from the bits. That makes simultaneous open (RFC 5382,
 * REQ-2), lost packets and repeated ones ordinary cases: there is no sequence that has no state.
 */
#define TRACKING_REPLIED      0x01 /* something came from the backend */
#define TRACKING_ACKNOWLEDGED 0x02 /* the client answered to that: the handshake is over */
#define TRACKING_FIN_ORIGINAL 0x04 /* the client is done */
#define TRACKING_FIN_REPLY    0x08 /* the backend is done */
#define TRACKING_RESET	      0x10 /* the last packet was a reset */
#define TRACKING_FIN_BOTH     (TRACKING_FIN_ORIGINAL | TRACKING_FIN_REPLY)

/**
 * enum tracking_phase - What decides how long a flow may be silent
 * @TRACKING_UDP_UNREPLIED:	UDP, nothing came back yet
 * @TRACKING_UDP_STREAM:	UDP in both directions
 * @TRACKING_OPENING:		TCP or SCTP, the handshake is not over
 * @TRACKING_ESTABLISHED:	TCP or SCTP, neither end is done
 * @TRACKING_CLOSING:		TCP or SCTP, one end is done, or it was reset
 * @TRACKING_PHASES:		How many there are
 */
enum tracking_phase {
	TRACKING_UDP_UNREPLIED,
	TRACKING_UDP_STREAM,
	TRACKING_OPENING,
	TRACKING_ESTABLISHED,
	TRACKING_CLOSING,
	TRACKING_PHASES,
};

/**
 * struct tracking_timeouts - How long a flow may be silent
 * @milliseconds:	By enum tracking_phase
 */
struct tracking_timeouts {
	uint64_t milliseconds[TRACKING_PHASES];
};

bool tracking_is_assured(uint8_t events, uint8_t protocol);

/* What every packet needs is inline. */

/**
 * tracking_see() - Take note of a packet
 * @events:	What was seen of the flow before
 * @protocol:	TUPLE_TCP, TUPLE_UDP or TUPLE_SCTP
 * @direction:	TRACKING_ORIGINAL or TRACKING_REPLY
 * @signals:	The packet's PACKET_FIN and so on
 *
 * A reset moves the flow to where it will soon be forgotten, and whatever comes after it takes the flow back
 * (RFC 7857, 2.2): a reset that somebody forged is ignored by the ends, and must not cut them off here.
 *
 * Return: what has been seen now
 */
static inline uint8_t tracking_see(uint8_t events, uint8_t protocol, unsigned int direction, uint8_t signals)
{
	uint8_t seen = events;

	if (direction == TRACKING_REPLY)
		seen |= TRACKING_REPLIED;
	if (protocol == TUPLE_UDP)
		return seen;
	if (signals & PACKET_RST)
		return seen | TRACKING_RESET;
	seen &= (uint8_t)~TRACKING_RESET;
	if (signals & PACKET_FIN)
		seen |= direction == TRACKING_REPLY ? TRACKING_FIN_REPLY : TRACKING_FIN_ORIGINAL;
	if (direction == TRACKING_ORIGINAL && (seen & TRACKING_REPLIED) && (signals & PACKET_ACK) &&
	    !(signals & PACKET_SYN))
		seen |= TRACKING_ACKNOWLEDGED;
	return seen;
}

/**
 * tracking_phase() - How far a flow has come
 * @events:	What was seen of it
 * @protocol:	TUPLE_TCP, TUPLE_UDP or TUPLE_SCTP
 *
 * Return: the phase, by which its timeout is chosen
 */
static inline enum tracking_phase tracking_phase(uint8_t events, uint8_t protocol)
{
	if (protocol == TUPLE_UDP)
		return events & TRACKING_REPLIED ? TRACKING_UDP_STREAM : TRACKING_UDP_UNREPLIED;
	if (events & (TRACKING_FIN_BOTH | TRACKING_RESET))
		return TRACKING_CLOSING;
	return events & TRACKING_ACKNOWLEDGED ? TRACKING_ESTABLISHED : TRACKING_OPENING;
}

/**
 * tracking_is_over() - Whether a connection has ended, so that its ports may open another
 * @events:	What was seen of it
 *
 * Return: true after a reset, or when both ends are done
 */
static inline bool tracking_is_over(uint8_t events)
{
	return (events & TRACKING_RESET) || (events & TRACKING_FIN_BOTH) == TRACKING_FIN_BOTH;
}

#endif
