"""conntrack's settings, on a folder that stands for /proc/sys."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.configuration.duration import Duration
from controller.configuration.schema import Conntrack
from controller.sysctls import conntrack_max, set_conntrack
from dataplane.errors import InputError

NOTHING = Conntrack(max_per_core=0, tcp_established_timeout=Duration(0), tcp_close_wait_timeout=Duration(0))
BEFORE = {
    "max": 65536, "buckets": 16384, "tcp_timeout_established": 432000, "tcp_timeout_close_wait": 60,
    "tcp_be_liberal": 0, "udp_timeout": 30, "udp_timeout_stream": 120,
}  # fmt: skip


@pytest.fixture
def kernel(tmp_path: Path) -> Path:
    folder = tmp_path / "net" / "netfilter"
    folder.mkdir(parents=True)
    for name, value in BEFORE.items():
        (folder / f"nf_conntrack_{name}").write_text(f"{value}\n")
    return tmp_path


def values(kernel: Path) -> dict[str, int]:
    folder = kernel / "net" / "netfilter"
    return {name: int((folder / f"nf_conntrack_{name}").read_text()) for name in BEFORE}


@pytest.mark.parametrize(
    ("per_core", "least", "cpus", "most"),
    [(0, 131072, 4, None), (32768, 131072, 2, 131072), (32768, 131072, 8, 262144), (32768, 131072, 512, 1048576)],
)
def test_the_table_grows_with_the_cpus_within_bounds(per_core: int, least: int, cpus: int, most: int | None) -> None:
    assert conntrack_max(Conntrack(max_per_core=per_core, min=least), cpus) == most


def test_the_defaults_are_set_and_the_rest_stays(kernel: Path) -> None:
    written = set_conntrack(Conntrack(), kernel, cpus=2)
    assert written == [
        "net.netfilter.nf_conntrack_max = 131072",
        "net.netfilter.nf_conntrack_buckets = 32768",
        "net.netfilter.nf_conntrack_tcp_timeout_established = 86400",
        "net.netfilter.nf_conntrack_tcp_timeout_close_wait = 3600",
    ]
    assert (values(kernel)["udp_timeout"], values(kernel)["tcp_be_liberal"]) == (30, 0)


def test_what_is_right_already_is_not_written(kernel: Path) -> None:
    set_conntrack(Conntrack(), kernel, cpus=2)
    assert set_conntrack(Conntrack(), kernel, cpus=2) == []


def test_zero_leaves_everything_as_it_is(kernel: Path) -> None:
    assert set_conntrack(NOTHING, kernel, cpus=2) == []
    assert values(kernel) == BEFORE


def test_more_buckets_than_needed_stay(kernel: Path) -> None:
    buckets = kernel / "net" / "netfilter" / "nf_conntrack_buckets"
    buckets.write_text("262144")
    set_conntrack(Conntrack(), kernel, cpus=2)
    assert buckets.read_text() == "262144"


def test_liberal_tracking_and_udp_timeouts_are_set_on_request(kernel: Path) -> None:
    wanted = Conntrack(tcp_be_liberal=True, udp_timeout=Duration(45), udp_stream_timeout=Duration(200))
    set_conntrack(wanted, kernel, cpus=2)
    found = values(kernel)
    assert (found["tcp_be_liberal"], found["udp_timeout"], found["udp_timeout_stream"]) == (1, 45, 200)


def test_a_table_that_is_the_host_s_is_left_alone(kernel: Path) -> None:
    (kernel / "net" / "netfilter" / "nf_conntrack_max").chmod(0o444)
    written = set_conntrack(Conntrack(), kernel, cpus=2)
    assert [line.partition(" ")[0].rpartition("_")[2] for line in written] == ["established", "wait"]
    assert values(kernel)["buckets"] == BEFORE["buckets"]


def test_a_setting_that_cannot_be_made_is_named(kernel: Path) -> None:
    (kernel / "net" / "netfilter" / "nf_conntrack_tcp_timeout_established").unlink()
    with pytest.raises(InputError, match=r"conntrack: can't set net\.netfilter\.nf_conntrack_tcp_timeout_established"):
        set_conntrack(Conntrack(), kernel, cpus=2)


def test_without_the_module_it_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is the kernel module nf_conntrack loaded"):
        set_conntrack(Conntrack(), tmp_path, cpus=2)
