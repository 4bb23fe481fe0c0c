"""One function per verb: the request's parts in, the answer out. The store does the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from lab.api import errors, patches
from lab.api.decoding import decoded, strict_decoding_error
from lab.api.errors import ApiError, Object
from lab.api.history import Stored
from lab.api.http import query as ask
from lab.api.http.answers import JSON, Answer
from lab.api.http.bodies import parse_body
from lab.api.http.routing import Target
from lab.api.http.views import View
from lab.api.kinds.apps import SCALE
from lab.api.kinds.meta import DELETE_OPTIONS
from lab.api.patches import Kind
from lab.api.renaming import from_stored, to_stored
from lab.api.scale import scale_of, scaled
from lab.api.schema import Decoder, WrongType
from lab.api.store import Store

APPLY = "application/apply-patch+yaml"
_PATCHES = (*(kind.value for kind in Kind), APPLY)
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Request:
    """What a handler looks at."""

    target: Target
    query: Mapping[str, str]
    accept: str
    media_type: str
    body: bytes

    @property
    def view(self) -> View:
        return View.wanted(self.accept, self.query.get("includeObject", ""))


class Handlers:
    """The verbs, on one store. `logs` gives the text that a pod has written."""

    def __init__(self, store: Store, logs: Callable[[Object], str] | None = None) -> None:
        self._store = store
        self._logs = logs
        self._verbs: dict[str, Callable[[Request], Answer]] = {
            "list": self._list,
            "get": self._get,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_collection,
        }

    def answer(self, verb: str, request: Request) -> Answer:
        """Do it. ApiError if it can't be done."""
        return self._verbs[verb](request)

    # --- reading ------------------------------------------------------------------------------------------------

    def _list(self, request: Request) -> Answer:
        target, query = request.target, request.query
        limit = ask.number(query, "limit") or 0
        token = query.get("continue", "")
        version, start = ask.parsed_token(token) if token else (self._exact_version(query), "")
        try:
            which = ask.filter_of(target, query)
            page = self._store.page(target.stored, which, limit=limit, version=version, start=start)
        except ApiError as why:
            if token and why.code == 410:
                raise ask.expired_token() from None
            raise
        metadata: Object = {"resourceVersion": str(page.version)}
        if page.next_key:
            metadata["continue"] = ask.continue_token(page.version, page.next_key)
            if which.labels is None and which.fields is None:
                metadata["remainingItemCount"] = page.remaining
        return Answer(request.view.many(target.resource, page.items, metadata))

    def _exact_version(self, query: Mapping[str, str]) -> int:
        """The version that a list must show; 0 if the present one will do."""
        version = ask.number(query, "resourceVersion") or 0
        if version > self._store.version:
            raise errors.version_too_large(version, self._store.version)
        limited = bool(ask.number(query, "limit"))
        match = query.get("resourceVersionMatch", "Exact" if limited else "NotOlderThan")
        return version if match == "Exact" else 0

    def _get(self, request: Request) -> Answer:
        target = request.target
        stored = self._store.stored(target.stored, target.namespace, target.name)
        if target.subresource == "scale":
            return Answer(_encode(scale_of(stored.object)))
        if target.subresource == "log":
            if self._logs is None:
                raise errors.bad_request("this server keeps no logs of pods")
            return Answer(self._logs(stored.object).encode(), media_type="text/plain")
        return Answer(request.view.one(target.resource, stored))

    # --- writing ------------------------------------------------------------------------------------------------

    def _create(self, request: Request) -> Answer:
        if request.target.name:
            raise errors.method_not_allowed()
        obj, unknown = self._object(request)
        dry_run = ask.dry_run(request.query)
        new = self._store.create(request.target.stored, obj, dry_run=dry_run, unknown=unknown.collect)
        return self._written(request, new, unknown, 201)

    def _update(self, request: Request) -> Answer:
        target = request.target
        obj, unknown = self._object(request)
        if target.subresource == "scale":
            stored = self._store.stored(target.stored, target.namespace, target.name)
            new = self._store.update(target.resource, scaled(stored.object, obj), dry_run=ask.dry_run(request.query))
            return Answer(_encode(scale_of(new)))
        new = self._store.update(
            target.stored,
            obj,
            subresource=target.subresource or None,
            dry_run=ask.dry_run(request.query),
            unknown=unknown.collect,
        )
        return self._written(request, new, unknown)

    def _patch(self, request: Request) -> Answer:
        target, query = request.target, request.query
        if request.media_type not in _PATCHES:
            raise errors.unsupported_media_type(request.media_type, _PATCHES)
        if request.media_type == APPLY:
            return self._apply(request)
        patch, twice = parse_body(request.body, JSON, target.resource.shape)
        unknown = _Unknown(request, twice)
        dry_run = ask.dry_run(query)
        if target.subresource == "scale":
            return self._patch_scale(request, patch, dry_run)
        if target.resource.view_of:
            return self._patch_view(request, patch, unknown, dry_run)
        new = self._store.patch(
            target.resource,
            target.namespace,
            target.name,
            patch,
            Kind(request.media_type),
            subresource=target.subresource or None,
            dry_run=dry_run,
            unknown=unknown.collect,
        )
        return self._written(request, new, unknown)

    def _patch_scale(self, request: Request, patch: Any, dry_run: bool) -> Answer:
        target = request.target
        obj = self._store.get(target.stored, target.namespace, target.name)
        wanted = patches.apply(Kind(request.media_type), SCALE, scale_of(obj), patch)
        return Answer(_encode(scale_of(self._store.update(target.resource, scaled(obj, wanted), dry_run=dry_run))))

    def _patch_view(self, request: Request, patch: Any, unknown: _Unknown, dry_run: bool) -> Answer:
        target = request.target
        stored = self._store.stored(target.stored, target.namespace, target.name)
        shown = from_stored(target.resource, stored.object)
        patched = patches.apply(Kind(request.media_type), target.resource.shape, shown, patch)
        obj = to_stored(target.resource, decoded(target.resource, patched, unknown=unknown.collect))
        return self._written(request, self._store.update(target.stored, obj, dry_run=dry_run), unknown)

    def _apply(self, request: Request) -> Answer:
        target, query = request.target, request.query
        obj, unknown = self._object(request)
        obj["metadata"].setdefault("name", target.name)
        created = self._store.find(target.stored, target.key) is None
        new = self._store.apply(
            target.stored,
            obj,
            manager=query.get("fieldManager", ""),
            subresource=target.subresource or None,
            dry_run=ask.dry_run(query),
            unknown=unknown.collect,
        )
        return self._written(request, new, unknown, 201 if created else 200)

    def _delete(self, request: Request) -> Answer:
        target = request.target
        options = self._delete_options(request)
        last = self._store.delete(target.stored, target.namespace, target.name, **options)
        if self._store.find(target.stored, target.key):
            return Answer(_encode(last))
        details = {"name": target.name, "kind": target.resource.plural, "uid": last["metadata"]["uid"]}
        if target.resource.group:
            details["group"] = target.resource.group
        success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
        return Answer(_encode(success))

    def _delete_collection(self, request: Request) -> Answer:
        target = request.target
        options = self._delete_options(request)
        page = self._store.page(target.stored, ask.filter_of(target, request.query))
        for stored in page.items:
            if self._store.find(target.stored, stored.key):
                meta = stored.object["metadata"]
                self._store.delete(target.stored, meta.get("namespace", ""), meta["name"], **options)
        return Answer(request.view.many(target.resource, page.items, {"resourceVersion": str(page.version)}))

    def _delete_options(self, request: Request) -> dict[str, Any]:
        given: Object = {}
        if request.body.strip():
            body, _ = parse_body(request.body, request.media_type, DELETE_OPTIONS)
            try:
                given = Decoder().decode(DELETE_OPTIONS, body if body is not None else {})
            except WrongType as why:
                raise errors.bad_request(f"the body cannot be handled as DeleteOptions: {why}") from None
        query = request.query
        grace = ask.number(query, "gracePeriodSeconds")
        default = "Orphan" if given.get("orphanDependents") else "Background"
        propagation = query.get("propagationPolicy") or given.get("propagationPolicy") or default
        if propagation not in ("Background", "Foreground", "Orphan"):
            raise errors.bad_request(
                f'propagationPolicy: Unsupported value: "{propagation}": supported values: '
                '"Background", "Foreground", "Orphan"'
            )
        wanted = given.get("preconditions") or {}
        return {
            "grace_seconds": given.get("gracePeriodSeconds") if grace is None else grace,
            "propagation": propagation,
            "uid": wanted.get("uid", ""),
            "version": wanted.get("resourceVersion", ""),
            "dry_run": ask.dry_run(query) or given.get("dryRun") == ["All"],
        }

    # --- bodies -------------------------------------------------------------------------------------------------

    def _object(self, request: Request) -> tuple[Object, _Unknown]:
        """The object in the body, which must be the one that the URL names."""
        target = request.target
        shape = SCALE if target.subresource == "scale" else target.resource.shape
        obj, twice = parse_body(request.body, request.media_type, shape)
        if not isinstance(obj, dict) or not isinstance(obj.get("metadata", {}), dict):
            raise errors.bad_request(f"the body must be an object of kind {target.resource.kind}")
        obj = obj | {"metadata": dict(obj.get("metadata") or {})}
        meta = obj["metadata"]
        if target.namespace and meta.setdefault("namespace", target.namespace) != target.namespace:
            raise errors.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if target.name and meta.setdefault("name", target.name) != target.name:
            raise errors.bad_request(
                f"the name of the object ({meta['name']}) does not match the name on the URL ({target.name})"
            )
        unknown = _Unknown(request, twice)
        if target.resource.view_of:
            obj = to_stored(target.resource, decoded(target.resource, obj, unknown=unknown.collect))
        return obj, unknown

    def _written(self, request: Request, new: Object, unknown: _Unknown, code: int = 200) -> Answer:
        stored = Stored("", int(new["metadata"].get("resourceVersion", "0")), new)
        return Answer(request.view.one(request.target.resource, stored), code, warnings=unknown.warnings)


class _Unknown:
    """Fields that the kind has not, or that were given twice: refused, warned about or ignored, as the client asks."""

    def __init__(self, request: Request, twice: list[str]) -> None:
        self._mode = ask.field_validation(request.query)
        self._twice = [f'duplicate field "{path}"' for path in twice]
        #: where the store puts unknown fields; None lets it refuse them
        self.collect: list[str] | None = None if self._mode == "Strict" else []
        if self._twice and self._mode == "Strict":
            raise strict_decoding_error(request.target.resource, self._twice)

    @property
    def warnings(self) -> tuple[str, ...]:
        if self._mode != "Warn":
            return ()
        return (*self._twice, *(f'unknown field "{path}"' for path in self.collect or ()))
