"""Trouble on purpose, for tests of clients: refusals, garbage, delays, watches that break. Nothing of it by default."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp import web

from lab.api.errors import ApiError
from lab.api.http.routing import Target


@dataclass(slots=True)
class _Planned:
    """One kind of trouble for the next `times` requests that match."""

    code: int
    body: bytes | None
    times: int
    plural: str
    verb: str

    def matches(self, target: Target, verb: str) -> bool:
        return self.times > 0 and self.plural in ("", target.resource.plural) and self.verb in ("", verb)


class Faults:
    """What goes wrong. `delay` holds every answer back for so many seconds; with `dribble` it then comes in so many
    pieces, so many seconds apart, unless it is a watch; `mute` has watches stay open, but say nothing more (what they
    would have said is lost)."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.dribble: tuple[int, float] | None = None
        self.mute = False
        self._planned: list[_Planned] = []
        self._watches: dict[asyncio.Task[None], web.StreamResponse] = {}

    def refuse(self, code: int, *, times: int = 1, plural: str = "", verb: str = "") -> None:
        """Answer the next requests with this HTTP code and a Status. `verb` is list, watch, get, create, ..."""
        self._planned.append(_Planned(code, None, times, plural, verb))

    def garble(self, body: bytes, *, times: int = 1, plural: str = "", verb: str = "") -> None:
        """Answer the next requests with 200 and these bytes."""
        self._planned.append(_Planned(200, body, times, plural, verb))

    def drop_watches(self) -> int:
        """Cut every running watch in the middle, without a proper end. Returns how many there were."""
        watches = list(self._watches)
        for watch in watches:
            watch.cancel()
        return len(watches)

    async def say(self, line: bytes) -> int:
        """Put these bytes into every running watch. Returns how many there were."""
        responses = list(self._watches.values())
        for response in responses:
            await response.write(line)
        return len(responses)

    def clear(self) -> None:
        self.delay = 0.0
        self.dribble = None
        self.mute = False
        self._planned.clear()

    # --- for the server -----------------------------------------------------------------------------------------

    async def strike(self, target: Target, verb: str) -> bytes | None:
        """Let the planned trouble happen: an ApiError, or bytes to answer with; None goes on as usual."""
        if self.delay:
            await asyncio.sleep(self.delay)
        planned = next((p for p in self._planned if p.matches(target, verb)), None)
        if planned is None:
            return None
        planned.times -= 1
        if planned.body is not None:
            return planned.body
        reason = {410: "Expired", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}
        raise ApiError(planned.code, reason.get(planned.code, "Unknown"), "a fault that a test asked for")

    async def send(self, request: web.Request, answer: web.Response) -> web.StreamResponse:
        """Give an answer, as slowly as it is to be."""
        if self.dribble is None:
            return answer
        pieces, seconds = self.dribble
        body = bytes(answer.body) if isinstance(answer.body, bytes) else b""
        slowly = web.StreamResponse(status=answer.status, headers=answer.headers)
        await slowly.prepare(request)
        for number in range(pieces):
            await asyncio.sleep(seconds)
            await slowly.write(body[len(body) * number // pieces : len(body) * (number + 1) // pieces])
        await slowly.write_eof()
        return slowly

    def running(self, watch: asyncio.Task[None], response: web.StreamResponse) -> None:
        """Remember a running watch, and where it writes to."""
        self._watches[watch] = response
        watch.add_done_callback(lambda _: self._watches.pop(watch, None))

    @property
    def watches(self) -> Iterable[asyncio.Task[None]]:
        return tuple(self._watches)
