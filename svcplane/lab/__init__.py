"""`svcplane lab`: run a cluster in network namespaces of this machine, and work with it."""

from __future__ import annotations

import argparse

from svcplane.commands import Command, add_commands, run_command

COMMANDS = (
    Command("up", "svcplane.lab.up", "start a cluster: nodes, an API server, an agent on each node"),
    Command("status", "svcplane.lab.status", "show what runs"),
    Command("apply", "svcplane.lab.apply", "make objects as manifests say: all of them or none"),
    Command("get", "svcplane.lab.get", "show objects"),
    Command("delete", "svcplane.lab.delete", "remove objects"),
    Command("exec", "svcplane.lab.exec", "run a command on the network of a pod, a node, or the outside client"),
    Command("logs", "svcplane.lab.logs", "show what an agent, a pod or the lab itself has said"),
    Command("kubeconfig", "svcplane.lab.kubeconfig", "print the path of the file that kubectl needs"),
    Command("demo", "svcplane.lab.demo", "watch a Service at work, in a lab of its own that is gone at the end"),
    Command("down", "svcplane.lab.down", "end a cluster and remove everything of it, also after a crash"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_commands(parser, COMMANDS)


def run(args: argparse.Namespace) -> int:
    return run_command("svcplane lab", COMMANDS, args)
