/* SPDX-License-Identifier: Apache-2.0 */
/* tracking.c - how far a connection has come, and how long it may be silent there */
#include "tracking.h"

#include "packet.h"
#include "tuple.h"

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
uint8_t tracking_see(uint8_t events, uint8_t protocol, unsigned int direction, uint8_t signals)
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
enum tracking_phase tracking_phase(uint8_t events, uint8_t protocol)
{
	if (protocol == TUPLE_UDP)
		return events & TRACKING_REPLIED ? TRACKING_UDP_STREAM : TRACKING_UDP_UNREPLIED;
	if (events & (TRACKING_FIN_BOTH | TRACKING_RESET))
		return TRACKING_CLOSING;
	return events & TRACKING_ACKNOWLEDGED ? TRACKING_ESTABLISHED : TRACKING_OPENING;
}

/**
 * tracking_is_assured() - Whether both ends are known to want this flow
 * @events:	What was seen of it
 * @protocol:	TUPLE_TCP, TUPLE_UDP or TUPLE_SCTP
 *
 * Return: false for a flow that may be given up when there is no room, as a flood of SYNs makes them
 */
bool tracking_is_assured(uint8_t events, uint8_t protocol)
{
	return events & (protocol == TUPLE_UDP ? TRACKING_REPLIED : TRACKING_ACKNOWLEDGED);
}

/**
 * tracking_is_over() - Whether a connection has ended, so that its ports may open another
 * @events:	What was seen of it
 *
 * Return: true after a reset, or when both ends are done
 */
bool tracking_is_over(uint8_t events)
{
	return (events & TRACKING_RESET) || (events & TRACKING_FIN_BOTH) == TRACKING_FIN_BOTH;
}
