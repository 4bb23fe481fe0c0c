/* SPDX-License-Identifier: Apache-2.0 */
/* tracking.c - how far a connection has come, and how long it may be silent there */
#include "tracking.h"

#include "packet.h"
#include "tuple.h"

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
