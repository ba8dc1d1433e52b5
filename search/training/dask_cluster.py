"""The connection to a Dask cluster, which is checked, and closed again when a launch ends."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import ipaddress
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from search.errors import LockstepError, first_line
from search.main_module import script_left_alone
from search.redact import redacted
from search.settings import Settings
from search.shield import shielded
from search.wording import counted

if TYPE_CHECKING:
    from distributed import Client

LOCAL = "local"
CONNECT_SECONDS = 5.0
# If these versions differ, tasks cannot be sent, or numbers differ.
SAME = ("python", "numpy", "dask", "distributed")
_ADDRESS = re.compile(r"(?:tcp|tls)://(\[[0-9a-fA-F:.]+\]|[^\[\]:/@\s]+):\d{1,5}")


@contextlib.contextmanager
def connected(settings: Settings, say: Callable[[str], None]) -> Iterator[Client]:
    """Connect to the cluster that the settings name, or start one on this machine.

    say: called with notes for the user.

    Raises LockstepError if Dask is not installed, if the cluster cannot be reached, or if the
    versions on it differ.
    """
    address = settings.cluster
    assert address is not None
    check_address(address)
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise LockstepError(
            f"--cluster {address}: Dask is not installed: pip install 'lockstep[cluster]'"
        ) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # We report what failed.
    with contextlib.ExitStack() as stack:
        if address == LOCAL:
            cluster = _local(settings.workers)
            stack.callback(_close, cluster, 10)
            target: Any = cluster
        else:
            target = address
            if warning := exposure(address):
                say(f"  note    {warning}")
        client = _client(target, address)
        stack.callback(_close, client, 2)
        _check_workers(client, address)
        if address != LOCAL:
            say(f"  cluster {counted(len(client.nthreads()), 'worker')}")
        yield client


def _local(workers: int) -> Any:
    """Return a cluster that is started on this machine. Raises LockstepError if that fails."""
    from distributed import LocalCluster

    try:
        # Dask's thread, which starts the processes, is started here.
        with shielded(), script_left_alone():
            return LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                protocol="tcp",
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
    except (RuntimeError, TimeoutError) as error:
        raise LockstepError(
            f"--cluster {LOCAL}: its workers could not be started ({first_line(error)}): use "
            "fewer --workers, or leave --cluster out, and run the same command again"
        ) from error


def _close(opened: Any, timeout: float) -> None:
    """Close a client or cluster. What Dask raises then must not hide the error before it."""
    with contextlib.suppress(Exception):
        opened.close(timeout=timeout)


def check_address(address: str) -> None:
    """Raise LockstepError if the address is neither `local` nor that of a scheduler."""
    if address != LOCAL and not _ADDRESS.fullmatch(address):
        raise LockstepError(
            f"--cluster {redacted(address)}: give `local`, or a Dask scheduler's address such as "
            "tcp://scheduler:8786 or tls://scheduler:8786"
        )


def exposure(address: str) -> str | None:
    """Return a warning if the scheduler is on another machine and not encrypted, or else None."""
    match = _ADDRESS.fullmatch(address)
    if match is None or address.startswith("tls://"):
        return None
    host = match.group(1).strip("[]")
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return None
    if host == "localhost":
        return None
    return (
        f"{address} is neither encrypted nor authenticated: whoever can reach it can run code as "
        "the user of the workers; keep it in a network that you trust, or use tls://"
    )


def _client(target: Any, address: str) -> Client:
    """Return a client of the cluster. Raises LockstepError if it cannot be reached."""
    from distributed import Client, Security

    if address.startswith("tls://"):
        arguments: dict[str, Any] = Security().get_connection_args("client")
        if arguments.get("ssl_context") is None:
            raise LockstepError(
                f"--cluster {address}: TLS is not configured: name the certificates in Dask's "
                "configuration (distributed.comm.tls)"
            )
    try:
        if address != LOCAL:
            asyncio.run(_greet(address))
        with warnings.catch_warnings(action="ignore"):  # Versions are checked later.
            return Client(target, timeout=CONNECT_SECONDS, set_as_default=False, name="lockstep")
    except Exception as error:  # Any program may listen there and answer anything.
        raise LockstepError(
            f"--cluster {address}: cannot be reached ({first_line(error)}): is a Dask "
            "scheduler running there?"
        ) from error


async def _greet(address: str) -> None:
    """Raise an error within seconds if no scheduler answers; Client could wait for ever."""
    from distributed import Security
    from distributed.comm import connect

    options = Security().get_connection_args("client")
    greeting = connect(address, timeout=CONNECT_SECONDS, **options)
    comm = await asyncio.wait_for(greeting, CONNECT_SECONDS + 1)
    comm.abort()


def _check_workers(client: Client, address: str) -> None:
    """Raise LockstepError if versions differ on the cluster or workers lack this package."""
    from search.training.dask_executor import WORKER_SECONDS

    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except TimeoutError as error:
        raise LockstepError(
            f"--cluster {address}: no worker within {WORKER_SECONDS:.0f} s: start one "
            f"(dask worker {address}); an adaptive cluster needs a minimum of one"
        ) from error
    versions = client.get_versions(packages=["numpy"])
    ours = _versions(versions["client"])
    for member, theirs in [
        (f"the scheduler at {address}", versions["scheduler"]),
        *((f"the worker at {worker}", each) for worker, each in versions["workers"].items()),
    ]:
        for name, version in _versions(theirs).items():
            if version != ours[name] and not (name == "numpy" and "scheduler" in member):
                raise LockstepError(
                    f"--cluster {address}: {member} has {name} {version}, the driver has "
                    f"{ours[name]}: install the same on both (one image for all is simplest)"
                )
    version = importlib.metadata.version("lockstep")
    found = client.run(importlib.metadata.version, "lockstep", on_error="return")
    for worker, theirs in found.items():
        if theirs != version:
            what = theirs if isinstance(theirs, str) else "missing"
            raise LockstepError(
                f"--cluster {address}: the worker at {worker} has lockstep {what}, the driver has "
                f"{version}: install the same on both"
            )


def _versions(reported: dict[str, Any]) -> dict[str, str]:
    """Return the versions to compare: Python's without the last part, the others whole."""
    packages = {name: str(reported["packages"].get(name)) for name in SAME}
    packages["python"] = ".".join(packages["python"].split(".")[:2])
    return packages
