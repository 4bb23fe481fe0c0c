"""The process that is a lab: ``python -m lab.cluster.supervisor NAME ROOT LOCK REPORT``.

LOCK is the descriptor of the lab's lock, which lives as long as this process; REPORT is one to which it writes how far
it is, a line of JSON each, until the lab is ready or has failed. It ends when it gets SIGTERM, and takes everything of
the lab with it but the folder, which belongs to whoever started it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from lab.api.errors import Object
from lab.api.server import ApiServer
from lab.api.store import Store
from lab.cluster import nodes
from lab.cluster.agent import Agent, AgentCommand
from lab.cluster.kubeconfig import kubeconfig
from lab.cluster.options import NO_PROXY, LabOptions
from lab.cluster.report import Report
from lab.cluster.state import LabState, StateDirectory
from lab.controllers import run_controllers
from lab.kubelet import Kubelet
from lab.kubelet.addresses import AddressPool
from lab.kubelet.node import NodeRuntime, log_file
from lab.network.network import Network
from lab.network.topology import CONTROL_PLANE, Topology
from lab.pod.asynchronous import AsyncProcesses

log = logging.getLogger(__name__)

API_PORT = 6443
_HOPELESS = 3  #: an agent that has ended so often without ever being ready will not be
READY_SECONDS = 60.0  #: how long the agents may take until all of them are ready


class StartError(Exception):
    """The lab can not be started. One line says why."""


class Supervisor:
    def __init__(self, state: StateDirectory, options: LabOptions, report: Callable[[Report], None]) -> None:
        self._state = state
        self._options = options
        self._report = report
        self._topology = options.topology()

    async def run(self) -> None:
        """The lab's whole life. StartError if it can not begin."""
        self._state.write(LabState(os.getpid(), self._options))
        async with contextlib.AsyncExitStack() as stack:
            self._report(Report(step="network: namespaces, links and routes"))
            network = await stack.enter_async_context(_network(self._options.name, self._topology))
            self._report(Report(step="API server"))
            store = Store(service_networks=self._options.service_cidrs)
            url = await stack.enter_async_context(self._api_server(store, network))
            nodes.register(store, self._topology.hosts, datetime.now(UTC))
            processes = await stack.enter_async_context(_processes())
            tasks = await stack.enter_async_context(asyncio.TaskGroup())
            ours = [tasks.create_task(run_controllers(store))]
            for host in self._topology.hosts:
                if host.forwards:
                    pool = AddressPool(host.pod_cidrs)
                    node = NodeRuntime(host, network, processes, pool, self._state.pods, lambda: datetime.now(UTC))
                    ours.append(tasks.create_task(Kubelet(store, node).run()))
            agents = self._agents(store, network, processes)
            ours.extend(tasks.create_task(agent.run()) for agent in agents)
            try:
                await self._until_ready(agents)
                self._state.write(LabState(os.getpid(), self._options, api=url, ready=True))
                self._report(Report(ready=True))
                await processes.lost
                raise RuntimeError("the spawner has ended, and all pods and agents with it")
            finally:
                for task in ours:
                    task.cancel()

    @contextlib.asynccontextmanager
    async def _api_server(self, store: Store, network: Network) -> AsyncIterator[str]:
        """Serve on the host's loopback address, and to the nodes on the control plane's addresses."""
        control_plane = self._topology.host(CONTROL_PLANE)
        local = socket.create_server(("127.0.0.1", 0), backlog=128)
        listeners = [local]
        for address in control_plane.addresses:
            listeners.append(network[CONTROL_PLANE].call(partial(_listen, address)))
        server = ApiServer(store, address=control_plane.addresses[0], port=API_PORT, logs=self._log_of)
        await server.start(listeners)
        url = f"http://127.0.0.1:{local.getsockname()[1]}"
        self._state.kubeconfig.write_text(kubeconfig(self._options.name, url))
        inside = control_plane.addresses[0]
        inside = f"[{inside}]" if ":" in inside else inside
        self._state.node_kubeconfig.write_text(kubeconfig(self._options.name, f"http://{inside}:{API_PORT}"))
        self._state.write(LabState(os.getpid(), self._options, api=url))
        try:
            yield url
        finally:
            await server.stop()

    def _log_of(self, pod: Object) -> str:
        """What a pod has written so far."""
        metadata = pod["metadata"]
        path = log_file(self._state.pods, metadata["namespace"], metadata["name"])
        return path.read_text(errors="replace") if path.exists() else ""

    def _agents(self, store: Store, network: Network, processes: AsyncProcesses) -> list[Agent]:
        options = self._options
        if options.proxy_mode == NO_PROXY:
            return []
        command = AgentCommand(options.agent, options.proxy_mode, options.cluster_cidrs, self._state.node_kubeconfig)
        return [
            Agent(
                host.name,
                network[host.name],
                command,
                store=store,
                processes=processes,
                log_file=self._state.agents / f"{host.name}.log",
            )
            for host in self._topology.hosts
            if host.forwards
        ]

    async def _until_ready(self, agents: list[Agent]) -> None:
        self._report(Report(step=f"waiting for the agents of {', '.join(agent.node for agent in agents)}"))
        deadline = asyncio.get_running_loop().time() + READY_SECONDS
        while waiting := [agent for agent in agents if not agent.ready]:
            for agent in waiting:
                if agent.failures >= _HOPELESS or asyncio.get_running_loop().time() > deadline:
                    raise StartError(_trouble_with(agent))
            await asyncio.sleep(0.02)


def _listen(address: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, API_PORT), family=family, backlog=128)


def _trouble_with(agent: Agent) -> str:
    try:
        lines = agent.log_file.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    # Tracebacks of exception groups end with lines of nothing but dashes.
    said = [line.strip(" |+-") for line in lines if any(map(str.isalpha, line))]
    what = f"has ended {agent.failures} times" if agent.failures else f"is not ready after {READY_SECONDS:g} s"
    return f"the agent of {agent.node} {what}; it said last: {said[-1] if said else 'nothing'}"


@contextlib.asynccontextmanager
async def _network(lab: str, topology: Topology) -> AsyncIterator[Network]:
    network = await asyncio.to_thread(Network(lab, topology).create)
    try:
        yield network
    finally:
        network.delete()


@contextlib.asynccontextmanager
async def _processes() -> AsyncIterator[AsyncProcesses]:
    processes = AsyncProcesses()
    try:
        yield processes
    finally:
        processes.close()


async def _until_told(supervisor: Supervisor) -> None:
    """Run until SIGTERM."""
    task = asyncio.create_task(supervisor.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def main() -> int:
    name, root, lock, reports = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    for descriptor in (lock, reports):
        os.set_inheritable(descriptor, False)
    state = StateDirectory(name, root)
    given = state.read()
    assert given is not None  # whoever starts us writes it first

    def report(what: Report) -> None:
        with contextlib.suppress(BrokenPipeError):  # nobody listens any more
            os.write(reports, msgspec.json.encode(what) + b"\n")

    try:
        asyncio.run(_until_told(Supervisor(state, given.options, report)))
    except BaseException as error:
        log.exception("the lab ends")
        report(Report(error=_first_line(error)))
        return 1
    return 0


def _first_line(error: BaseException) -> str:
    """The reason for the end: what is in an exception group is more telling than the group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{error}".splitlines()[0] if str(error) else type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
