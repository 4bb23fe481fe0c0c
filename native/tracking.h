/* SPDX-License-Identifier: Apache-2.0 */
/* tracking.h - how far a connection has come, and how long it may be silent there */
#ifndef SVCPLANE_TRACKING_H
#define SVCPLANE_TRACKING_H

#include <stdbool.h>
#include <stdint.h>

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

uint8_t tracking_see(uint8_t events, uint8_t protocol, unsigned int direction, uint8_t signals);
enum tracking_phase tracking_phase(uint8_t events, uint8_t protocol);
bool tracking_is_assured(uint8_t events, uint8_t protocol);
bool tracking_is_over(uint8_t events);

#endif
