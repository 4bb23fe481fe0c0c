"""What Kubernetes has no field for: how a Service's endpoints are picked, and how often.

    svcplane.dev/pick on a Service             random, round-robin, least-connections or maglev
    svcplane.dev/weight on an EndpointSlice    1 to 100: the weight of each endpoint in the slice

A slice without a weight has the weight 1. Weights of endpoints are relative to each other, within whatever list of
endpoints counts for a client. So two slices made by hand, of nine times the weight and as many endpoints each, send
nine connections of ten to the one and one to the other. What cannot be read counts as not written, and is complained
about.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from controller.objects import EndpointSlice, Service
from dataplane.table import Pick

PICK = "svcplane.dev/pick"
WEIGHT = "svcplane.dev/weight"

MOST_WEIGHT = 100


def pick_of(service: Service, known: Collection[Pick]) -> Pick | None:
    """The way to pick that the Service asks for, if it is one of those that this node knows."""
    text = (service.metadata.annotations or {}).get(PICK)
    if text is None:
        return None
    return next((pick for pick in known if pick == text), None)


def weight_of(piece: EndpointSlice) -> int:
    """The weight of each endpoint in the slice."""
    return _number((piece.metadata.annotations or {}).get(WEIGHT)) or 1


def complaints(service: Service, slices: Iterable[EndpointSlice], known: Collection[Pick]) -> Iterator[str]:
    """What is written but does not count, and why: one line each."""
    text = (service.metadata.annotations or {}).get(PICK)
    if text is not None and pick_of(service, known) is None:
        if text in list(Pick):
            why = f"{text!r} is not known to this node's mode, which knows {', '.join(sorted(known))}"
        else:
            why = f"expected one of {', '.join(Pick)}, found {text!r}"
        yield f"{PICK}: {why}; it counts as not written"
    for piece in slices:
        text = (piece.metadata.annotations or {}).get(WEIGHT)
        if text is not None and _number(text) is None:
            expected = f"expected a number from 1 to {MOST_WEIGHT}"
            yield f"{WEIGHT} of EndpointSlice {piece.metadata.name}: {expected}, found {text!r}; taken as 1"


def _number(text: str | None) -> int | None:
    # Not int(): it takes signs, spaces, underscores and digits of any script.
    if text is None or not text.isascii() or not text.isdigit() or len(text) > len(str(MOST_WEIGHT)):
        return None
    return int(text) if 1 <= int(text) <= MOST_WEIGHT else None
