"""The agent's flags: those of the configuration's fields, from their table, and those that are no part of it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from controller.configuration.duration import Duration
from controller.configuration.fields import FIELDS, Field, Kind, as_text, value_of, with_value
from controller.configuration.options import completed
from controller.configuration.schema import KubeProxyConfiguration
from dataplane.errors import InputError
from svcplane.flags import boolean, words
from svcplane.userspace_flags import UserspaceFlags


class Command(NamedTuple):
    """A flag that says what to do, and is no part of the configuration."""

    flags: tuple[str, ...]
    kind: Kind
    meaning: str
    instead: str = ""


COMMANDS = (
    Command(("--config",), Kind.TEXT, "the file; other flags of the configuration are ignored then"),
    Command(("--write-config-to",), Kind.TEXT, "write the whole configuration to this file, and exit"),
    Command(("--init-only",), Kind.BOOLEAN, "make the settings that need all privileges (conntrack, mode), and exit"),
    Command(("--cleanup",), Kind.BOOLEAN, "remove all of svcplane's rules, and exit"),
    Command(("--master",), Kind.TEXT, "URL of the API server, in place of the kubeconfig's"),
    Command(("--iptables-variant",), Kind.NAME, "which iptables in mode iptables: auto, legacy or nft"),
    Command(
        ("--iptables-layout",), Kind.NAME,
        "how packets find their frontend in mode iptables: kube-proxy (rule by rule) or tree (by network first)",
    ),
    Command(("--conntrack-forget-sctp",), Kind.BOOLEAN, "forget SCTP flows whose endpoint is gone, as UDP's"),
    Command(
        ("--traffic-series",), Kind.INTEGER,
        "how many Services, and how many backends, have traffic metrics of their own; 0: count none (default: 1000)",
    ),
    Command(
        ("--keep-kube-proxy-rules",), Kind.BOOLEAN,
        "leave the rules of a kube-proxy that ran here before; else they go once ours are in force",
    ),
    Command(
        ("--userspace-port",), Kind.NAME,
        "how packets come in in mode userspace: nfqueue (packet queues), af_xdp (interfaces) or nfqueue_python",
    ),
    Command(("--xdp-interfaces",), Kind.WORDS, "with af_xdp: patterns of the interfaces' names (default: every veth)"),
    Command(("--xdp-mode",), Kind.NAME, "with af_xdp: auto, native or generic"),
    Command(
        ("--xdp-busy-poll",), Kind.INTEGER, "with af_xdp: microseconds to poll a driver for; 0: wait for interrupts"
    ),
    Command(("--healthz-port",), Kind.INTEGER, "port of --healthz-bind-address; 0: nowhere"),
    Command(("--metrics-port",), Kind.INTEGER, "port of --metrics-bind-address; 0: nowhere"),
    Command(
        ("--log-text-split-stream", "--log-json-split-stream"), Kind.BOOLEAN,
        "errors to standard error, the rest to standard output", "everything goes to standard error",
    ),
    Command(
        ("--log-text-info-buffer-size", "--log-json-info-buffer-size"), Kind.TEXT, "buffer of the log",
        "standard error is written line by line, at once",
    ),
    Command(("--boot-id-file", "--machine-id-file"), Kind.TEXT, "unused by kube-proxy too", "nothing"),
)  # fmt: skip


class OwnFlags(NamedTuple):
    """What kube-proxy has no field for. They count beside a file, too."""

    conntrack_forget_sctp: bool = False
    traffic_series: int = 1000
    keep_kube_proxy_rules: bool = False
    userspace_port: str = "nfqueue"
    xdp_interfaces: tuple[str, ...] = ()
    xdp_mode: str = "auto"
    xdp_busy_poll: int = 0

    @staticmethod
    def given(args: argparse.Namespace) -> OwnFlags:
        """InputError if one is wrong."""
        own = OwnFlags(**{name: vars(args)[name] for name in OwnFlags._fields if name in vars(args)})
        if own.traffic_series < 0:
            raise InputError(f"--traffic-series: {own.traffic_series} is less than nothing")
        own.userspace.xdp()
        return own

    @property
    def userspace(self) -> UserspaceFlags:
        return UserspaceFlags(self.userspace_port, self.xdp_interfaces, self.xdp_mode, self.xdp_busy_poll)


#: Flags that count beside --config, as they do for kube-proxy.
_BESIDE_A_FILE = ("hostnameOverride", "logging.")

_PREFIX = "field:"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """What is not given is not in the namespace that comes of it."""
    for command in COMMANDS:
        _add(parser, command.flags, command.kind, command.meaning, command.instead, None)
    default = completed(KubeProxyConfiguration())
    for field in FIELDS:
        if field.flags:
            _add(
                parser,
                field.flags,
                field.kind,
                field.meaning,
                field.instead,
                as_text(value_of(default, field.path)),
                field,
            )


def _add(
    parser: argparse.ArgumentParser,
    flags: Iterable[str],
    kind: Kind,
    meaning: str,
    instead: str,
    default: str | None,
    field: Field | None = None,
) -> None:
    text = f"{meaning} (no effect: {instead})" if instead else meaning
    if default and not instead:
        text += f" (default: {default})"
    options: dict[str, Any] = {"nargs": "?", "const": True} if kind is Kind.BOOLEAN else {}
    if field is not None:
        options["dest"] = _PREFIX + field.path
    parser.add_argument(
        *flags,
        type=_PARSERS[kind],
        default=argparse.SUPPRESS,
        metavar=kind.value or Kind.TEXT.value,
        help=text.replace("%", "%%"),
        **options,
    )


def given_fields(args: argparse.Namespace) -> Mapping[str, Any]:
    """The fields that flags were given for, by path."""
    return {name.removeprefix(_PREFIX): value for name, value in vars(args).items() if name.startswith(_PREFIX)}


#: kube-proxy's, where no file says anything: the default of --iptables-min-sync-period. In a file it is 0.
_IPVS_MIN_SYNC_PERIOD = Duration(1)


def from_flags(args: argparse.Namespace) -> KubeProxyConfiguration:
    """The configuration without a file. The deprecated port flags count where the address is not given.

    What a flag says of nftables mode counts in iptables mode too, unless another flag says it of that.
    """
    given = dict(given_fields(args))
    for name, path, host in (
        ("healthz_port", "healthzBindAddress", "0.0.0.0"),
        ("metrics_port", "metricsBindAddress", "127.0.0.1"),
    ):
        port = getattr(args, name, None)
        if port is not None and path not in given:
            given[path] = f"{host}:{port}" if port else ""
    for path, value in tuple(given.items()):
        if path.startswith("nftables."):
            given.setdefault(path.replace("nftables.", "iptables.", 1), value)
    given.setdefault("ipvs.minSyncPeriod", _IPVS_MIN_SYNC_PERIOD)
    return _with(KubeProxyConfiguration(), given)


def beside_file(configuration: KubeProxyConfiguration, args: argparse.Namespace) -> KubeProxyConfiguration:
    """The file's configuration, with those flags that beat it."""
    return _with(configuration, {p: v for p, v in given_fields(args).items() if p.startswith(_BESIDE_A_FILE)})


def ignored_beside_file(args: argparse.Namespace) -> Iterator[str]:
    """The flags that were given in vain."""
    for field in FIELDS:
        if field.path in given_fields(args) and not field.path.startswith(_BESIDE_A_FILE):
            yield field.flags[0]


def without_effect(args: argparse.Namespace) -> Iterator[str]:
    """One line for each command-only flag that is given and has no effect."""
    for command in COMMANDS:
        if command.instead and hasattr(args, command.flags[0].lstrip("-").replace("-", "_")):
            yield f"{command.flags[0]}: no effect: {command.instead}"


def _with(configuration: KubeProxyConfiguration, given: Mapping[str, Any]) -> KubeProxyConfiguration:
    for path, value in given.items():
        configuration = with_value(configuration, path, value)
    return configuration


def _duration(text: str) -> Duration:
    try:
        return Duration.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from error


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from error


def _gates(text: str) -> dict[str, bool]:
    pairs = (word.partition("=") for word in words(text))
    return {name: boolean(value) for name, _, value in pairs}


_PARSERS: Mapping[Kind, Callable[[str], Any]] = {
    Kind.TEXT: str,
    Kind.NAME: str,
    Kind.BOOLEAN: boolean,
    Kind.INTEGER: _integer,
    Kind.NUMBER: _number,
    Kind.DURATION: _duration,
    Kind.WORDS: lambda text: list(words(text)),
    Kind.GATES: _gates,
    Kind.OTHER: lambda text: [{"filePattern": text}],
}


def table() -> str:
    """All flags and fields in Markdown: docs/kube-proxy-flags.md."""
    default = completed(KubeProxyConfiguration())
    lines = [_HEAD]
    for command in COMMANDS:
        lines.append(_row(command.flags, "", "", command.meaning, command.instead))
    for field in FIELDS:
        value = as_text(value_of(default, field.path))
        lines.append(_row(field.flags, field.path, value, field.meaning, field.instead))
    return "\n".join(lines) + "\n"


def _row(flags: Iterable[str], path: str, default: str, meaning: str, instead: str) -> str:
    cells = (" ".join(f"`{f}`" for f in flags), f"`{path}`" * bool(path), f"`{default}`" * bool(default), meaning)
    return f"| {' | '.join(cells)} | {instead or 'honoured'} |".replace("  ", " ")


_HEAD = """\
# kube-proxy's flags and configuration, and what becomes of them

`svcplane agent` takes kube-proxy's flags, and its file: `KubeProxyConfiguration`, `kubeproxy.config.k8s.io/v1alpha1`.
This page is made from the table that reads them (`svcplane.agent_flags`), and a test keeps it so.

- What is honoured does what kube-proxy's does in the same mode, unless its meaning says otherwise.
- What is not honoured is named here with what happens instead, and a line of the log says so when it is set.
- What is wrong ends the agent with one line that names the flag, or the field by its path, and exit code 2.
- With `--config` the other flags of the configuration are ignored, and named in the log, but for
  `--hostname-override` and those of the log.
- An unknown or duplicate key in the file is named in the log and left out.
- When the file changes, the agent takes it up by itself, and packets go on meanwhile. A file that is wrong changes
  nothing until it is put right, and neither does one whose mode this host lacks something for.
- `--masquerade-all`, `--iptables-sync-period` and `--iptables-min-sync-period` give the values of nftables mode and of
  iptables mode alike, and so does `--masquerade-bit`, but for `--iptables-masquerade-bit`. That one, `--sync-period`,
  `--min-sync-period`, `--iptables-variant` and `--iptables-layout` are our own names.
- `--ipvs-min-sync-period` is 1s where there is no `--config`, as kube-proxy has it; the table has the file's default.

| Flag | Field | Default | Meaning | Here |
|---|---|---|---|---|"""
