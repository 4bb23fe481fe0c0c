"""`svcplane agent`: program this node's Services, in kube-proxy's place, with its flags and its configuration file."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import platform
import signal
from functools import partial
from pathlib import Path

from prometheus_client import disable_created_metrics

from controller.agent import Agent
from controller.api.access import Access
from controller.api.client import Client
from controller.api.connect import connect
from controller.api.errors import ApiServerError
from controller.configuration import decode, fields
from controller.configuration.check import problems
from controller.configuration.options import agent_options, completed
from controller.configuration.schema import KubeProxyConfiguration
from controller.configuration.watch import contents
from controller.sysctls import set_accounting, set_conntrack
from dataplane.errors import InputError
from dataplane.interface import DataplaneError
from dataplane.version import VERSION
from svcplane import agent_flags
from svcplane.agent_flags import OwnFlags
from svcplane.alone import alone
from svcplane.logs import set_up_logging
from svcplane.modes import (
    IptablesFlags,
    ModeFlags,
    check_here,
    clean_up,
    make_dataplane,
    make_room,
    make_traffic,
    packets_of,
    remove_predecessors,
    set_up_mode,
)
from svcplane.succession import Succession

_log = logging.getLogger(__name__)

_CAP_NET_ADMIN = 12  # linux/capability.h


def add_arguments(parser: argparse.ArgumentParser) -> None:
    agent_flags.add_flags(parser)
    parser.add_argument("--version", action="version", version=f"svcplane {VERSION}")


def run(args: argparse.Namespace) -> int:
    configuration, remarks = configure(args)
    set_up_logging(configuration.logging.format, configuration.logging.verbosity)
    for remark in remarks:
        _log.warning("%s", remark)
    if path := getattr(args, "write_config_to", ""):
        _write(Path(path), configuration)
        return 0
    disable_created_metrics()  # type: ignore[no-untyped-call]  # kube-proxy has none, and each would double the series of its counter
    if not _may_program_the_network():
        raise InputError("programming the kernel needs root, or the capability CAP_NET_ADMIN")
    try:
        if getattr(args, "cleanup", False):
            clean_up(configuration.mode)
            return 0
        if getattr(args, "init_only", False):
            _set_up_host(configuration, OwnFlags.given(args))
            set_up_mode(configuration)
            return 0
        _access(args, configuration)  # what is of no use is said before anything on this host changes
        check_here(configuration, _mode_flags(args))
        with alone():
            _set_up_host(configuration, OwnFlags.given(args))
            return asyncio.run(_run(args, configuration))
    except DataplaneError as error:
        _log.error("%s", error)
        return 1


def _may_program_the_network() -> bool:
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> _CAP_NET_ADMIN & 1)


def configure(args: argparse.Namespace, text: str | None = None) -> tuple[KubeProxyConfiguration, list[str]]:
    """What flags and file say together, complete and checked, and what has to be remarked about it.

    `text` stands for the file's content, if it has been read already. InputError if anything is wrong.
    """
    path = getattr(args, "config", "")
    if path:
        configuration, left_out = decode.read_file(Path(path)) if text is None else decode.decode(text)
        remarks = [f"{path}: {line}" for line in left_out]
        remarks += [f"{flag}: ignored, as --config is given" for flag in agent_flags.ignored_beside_file(args)]
        configuration = agent_flags.beside_file(configuration, args)
    else:
        configuration, remarks = agent_flags.from_flags(args), []
    configuration = completed(configuration)
    _mode_flags(args).iptables.check()
    found = dict.fromkeys(f"{_name(args, field)}: {text}" for field, text in problems(configuration))
    if found:
        raise InputError("\n".join(found))
    remarks += agent_flags.without_effect(args)
    remarks += (f"{_name(args, p)}: {text}" for p, text in map(_split, fields.without_effect(configuration)))
    return configuration, remarks


def _split(line: str) -> tuple[str, str]:
    path, _, text = line.partition(": ")
    return path, text


def _name(args: argparse.Namespace, path: str) -> str:
    """How whoever gave the field calls it: by its path in the file, or by its flag."""
    if getattr(args, "config", ""):
        return f"{args.config}: {path}"
    # Where both kinds of rules have a field, one flag gives both.
    paths = (path, path.replace("iptables.", "nftables.", 1))
    named = [field for p in paths for field in fields.FIELDS if field.path == p and field.flags]
    given = [field for field in named if field.path in agent_flags.given_fields(args)]
    return next((field.flags[0] for field in (*given, *named)), path)


def _write(path: Path, configuration: KubeProxyConfiguration) -> None:
    try:
        path.write_text(decode.encode(configuration))
    except OSError as error:
        raise InputError(f"--write-config-to: can't write {path}: {error.strerror}") from error


def _set_up_host(configuration: KubeProxyConfiguration, own: OwnFlags) -> None:
    for written in set_conntrack(configuration.conntrack):
        _log.info("set %s", written)
    if own.traffic_series and configuration.mode != "userspace":  # whose engine counts by itself
        try:
            for written in set_accounting():
                _log.info("set %s", written)
        except InputError as error:
            _log.warning("packets and bytes are not counted, only connections: %s", error)
    try:
        Path("/proc/self/oom_score_adj").write_text(str(configuration.oom_score_adj))
    except OSError as error:
        _log.info("oomScoreAdj: can't be set to %d: %s", configuration.oom_score_adj, error.strerror)


def _access(args: argparse.Namespace, configuration: KubeProxyConfiguration) -> Access:
    return connect(configuration.client_connection.kubeconfig, master=getattr(args, "master", ""))


def _mode_flags(args: argparse.Namespace) -> ModeFlags:
    given = {name: vars(args)[flag] for name in IptablesFlags._fields if (flag := f"iptables_{name}") in vars(args)}
    return ModeFlags(IptablesFlags(**given), OwnFlags.given(args).userspace)


async def _run(args: argparse.Namespace, configuration: KubeProxyConfiguration) -> int:
    """Until SIGTERM or SIGINT. What is programmed stays, so that packets flow while the next agent starts.

    When the file changes, one agent ends and the next begins: its first sync replaces the rules in one transaction.
    """
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    while not ended.is_set():
        agent = asyncio.create_task(_run_agent(args, configuration))
        waiting = asyncio.create_task(ended.wait())
        new = asyncio.create_task(_next_configuration(args, configuration))
        await asyncio.wait({agent, waiting, new}, return_when=asyncio.FIRST_COMPLETED)
        if agent.done():
            agent.result()
        for task in (agent, waiting, new):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await agent
        if new.done() and not new.cancelled():
            configuration = new.result()
    return 0


async def _run_agent(args: argparse.Namespace, configuration: KubeProxyConfiguration) -> None:
    access, own = _access(args, configuration), OwnFlags.given(args)
    dataplane = make_dataplane(configuration, _mode_flags(args))
    try:
        async with Client(access) as client:
            leave = partial(remove_predecessors, configuration.mode, kube_proxy_too=not own.keep_kube_proxy_rules)
            alone = Succession(dataplane, leave)
            options = agent_options(
                configuration,
                platform.node(),
                forget_sctp=own.conntrack_forget_sctp,
                traffic_series=own.traffic_series,
            )
            traffic = make_traffic(configuration.mode, dataplane) if options.metrics and own.traffic_series else None
            room = make_room()
            try:
                await Agent(options, client, alone, traffic, room, packets_of(dataplane)).run()
            finally:
                if room is not None:
                    room.close()
                if traffic is not None:
                    traffic.close()
    finally:
        dataplane.close()


async def _next_configuration(
    args: argparse.Namespace, configuration: KubeProxyConfiguration
) -> KubeProxyConfiguration:
    """Wait until the file says something else, and something usable."""
    path = getattr(args, "config", "")
    if not path:
        await asyncio.Event().wait()
    async for text in contents(Path(path)):
        try:
            new, remarks = configure(args, text)
            if new == configuration:
                continue
            _access(args, new)
            check_here(new, _mode_flags(args))
            _set_up_host(new, OwnFlags.given(args))
        except (InputError, ApiServerError) as error:
            _log.error("the changed configuration is not used: %s", error)
            continue
        set_up_logging(new.logging.format, new.logging.verbosity)
        _log.info("%s has changed: starting anew with it", path)
        for remark in remarks:
            _log.warning("%s", remark)
        return new
    raise AssertionError("the file is looked at for ever")
