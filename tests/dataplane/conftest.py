"""Network namespaces for single tests."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from lab.network.syscalls import unshare_network


@pytest.fixture(scope="session")
def in_new_namespace() -> Callable[[Callable[[], Any]], Any]:
    """Call a function in a thread with a network namespace of its own, which ends with its sockets."""

    def call(work: Callable[[], Any]) -> Any:
        outcome: list[Any] = []
        failure: list[BaseException] = []

        def run() -> None:
            try:
                unshare_network()
                outcome.append(work())
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return outcome[0]

    return call
