"""The processes that train one network together: who they are, and that they want the same.

Owns: ``--workers``, ``TF_CONFIG`` and Slurm; the meeting before the training, at which recipes,
images and versions are compared. Does not own: TensorFlow's own connection (``devices``).

The meeting is plain text over TCP at the addresses that TensorFlow uses afterwards. Nothing is
imported that starts TensorFlow, so that a worker that is missing, a port in use or a recipe
that differs is told in words.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from tfclassify.errors import RequestError, TrainingError
from tfclassify.recipe.wording import format_seconds

#: Seconds that the workers wait for one another before the training.
PATIENCE_S = 300.0
#: Seconds that one who has come may take to say who it is; a worker says it at once.
_HELLO_S = 10.0
#: Bytes that a worker may say of itself.
_MOST_BYTES = 4 << 20
#: Differences between two workers that are shown.
_SHOWN = 5

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Workers:
    """The processes of a training.

    Attributes:
        addresses: ``host:port`` of each; the first one writes the run.
        place: Which of them this process is, from 0.
        listener: Holds this one's port until TensorFlow takes it.
    """

    addresses: tuple[str, ...]
    place: int
    listener: socket.socket

    @property
    def is_chief(self) -> bool:
        """Whether this process is the first."""
        return self.place == 0

    def __str__(self) -> str:
        return f"worker {self.place + 1} of {len(self.addresses)} ({self.addresses[self.place]})"


def find_workers(strategy: str, given: str | None = None) -> Workers | None:
    """Find out which processes train together; None for this one alone.

    Args:
        strategy: The recipe's ``runtime.strategy``.
        given: ``host:port,host:port``, as after ``--workers``.

    Raises:
        RequestError: If they cannot be told, none of them is this process, or its port is in
            use.
    """
    if given is not None:
        if strategy not in ("auto", "multi_worker"):
            raise RequestError(
                f"--workers: the recipe says runtime.strategy: {strategy}, which is one process; "
                "use multi_worker, or leave --workers out"
            )
        addresses = [part.strip() for part in given.split(",")]
        return _find_own(_check_addresses(addresses, "--workers"))
    if strategy not in ("auto", "multi_worker"):
        return None
    config = os.environ.get("TF_CONFIG")
    addresses, place = _read_config(config) if config else ([], 0)
    if strategy == "auto" and len(addresses) < 2:  # no reason to wait for others
        return None
    if not config:
        addresses, place = _ask_slurm()
    where = "TF_CONFIG" if config else "Slurm"
    checked = _check_addresses(addresses, where)
    try:
        listener = _listen("", _split(checked[place])[1])
    except OSError as error:
        raise RequestError(
            f"{where}: the port of {checked[place]} cannot be used ({error.strerror or error}); "
            "stop what uses it, or name another port for every worker"
        ) from error
    return Workers(checked, place, listener)


def _check_addresses(addresses: Sequence[str], where: str) -> tuple[str, ...]:
    for address in addresses:
        host, _, port = address.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            raise RequestError(
                f"{where}: an address is host:port, such as 10.0.0.1:5000, got {address!r}"
            )
    if len(set(addresses)) < max(2, len(addresses)):
        raise RequestError(
            f"{where}: name two or more different addresses, got {', '.join(addresses)!r}; one "
            "process needs none"
        )
    return tuple(addresses)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _find_own(addresses: tuple[str, ...]) -> Workers:
    """Take the first address that is this machine's and whose port is free."""
    taken = []
    for place, address in enumerate(addresses):
        try:
            return Workers(addresses, place, _listen(*_split(address)))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                taken.append(address)
    if taken:
        raise RequestError(
            f"--workers: {', '.join(taken)} would be this machine, but the port is in use; is a "
            "worker running already? Stop it, or choose other ports in every command"
        )
    raise RequestError(
        f"--workers: none of {', '.join(addresses)} is an address of this machine "
        f"({socket.gethostname()}); name it in every command by an address that it has itself, or "
        "set TF_CONFIG, which says which worker this is"
    )


def _listen(host: str, port: int) -> socket.socket:
    """Listen at an address of this machine.

    Raises:
        OSError: If it is not this machine's, or the port is in use.
    """
    kind, flags = socket.SOCK_STREAM, socket.AI_PASSIVE
    found = socket.getaddrinfo(host or None, port, type=kind, flags=flags)
    family, _, protocol, _, place = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(64)
    except OSError:
        listener.close()
        raise
    return listener


def _read_config(text: str) -> tuple[list[str], int]:
    """Read ``TF_CONFIG``: ``{"cluster": {"worker": [...]}, "task": {"type", "index"}}``."""
    try:
        content = json.loads(text)
        jobs = {str(job): [str(each) for each in of] for job, of in content["cluster"].items()}
        kind, index = str(content["task"]["type"]), int(content["task"]["index"])
        if not set(jobs) <= {"chief", "worker"} or not 0 <= index < len(jobs[kind]):
            raise ValueError("other jobs, or no such task")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestError(
            'TF_CONFIG: expected {"cluster": {"worker": ["host:port", ...]}, "task": {"type": '
            f'"worker", "index": 0}}}}, got {text[:200]!r}; mend it, or unset it'
        ) from error
    chief = jobs.get("chief", [])
    return [*chief, *jobs.get("worker", [])], index + (len(chief) if kind == "worker" else 0)


def _ask_slurm() -> tuple[list[str], int]:
    """Ask Slurm, by TensorFlow's resolver, which processes ``srun`` started."""
    if "SLURM_PROCID" not in os.environ:
        raise RequestError(
            "runtime.strategy: multi_worker needs to know the processes: give --workers "
            "host:port,host:port on each machine, set TF_CONFIG, or start it by srun"
        )
    import tensorflow as tf

    try:
        kind = tf.distribute.cluster_resolver.SlurmClusterResolver
        # Which GPUs a task sees is Slurm's to say: a count that is large enough, and unused.
        resolver = kind(gpus_per_node=4096, gpus_per_task=1, auto_set_gpu=False)
        addresses = list(resolver.cluster_spec().as_dict()["worker"])
        return addresses, int(resolver.get_task_info()[1])
    except (KeyError, ValueError, RuntimeError) as error:
        raise RequestError(
            f"runtime.strategy: Slurm's variables do not tell the processes ({error}); start the "
            "command by srun, or give --workers"
        ) from error


def meet(
    workers: Workers,
    facts: Facts,
    told: Facts,
    note: Callable[[str], None] = lambda text: None,
    patience_s: float = PATIENCE_S,
) -> Facts:
    """Wait until all workers are there and want the same; return what the chief tells.

    The port is free when it is over.

    Args:
        workers: Who they are.
        facts: What this one wants, plain JSON; the same everywhere.
        told: What only the chief knows, plain JSON.
        note: Told of the waiting.
        patience_s: How long.

    Raises:
        RequestError: If the workers differ.
        TrainingError: If one does not come.
    """
    until = time.monotonic() + patience_s
    hello = {"workers": list(workers.addresses), "place": workers.place, "facts": dict(facts)}
    note(f"{workers}: waiting for the others, for {format_seconds(patience_s)} at most")
    with workers.listener:
        if workers.is_chief:
            answer = _gather(workers, hello, dict(told), until)
        else:
            answer = _report(workers, hello, until)
    if answer["absent"]:
        raise TrainingError(
            f"{workers}: no answer from {answer['absent']} within {format_seconds(patience_s)}; "
            "start the same command there too, and see that no firewall is between the machines"
        )
    if answer["problem"]:
        raise RequestError(f"--workers: {answer['problem']}")
    return dict(answer["told"])


def _gather(
    workers: Workers, hello: dict[str, Any], told: dict[str, Any], until: float
) -> dict[str, Any]:
    """Be the chief: hear all workers, compare, answer them."""
    heard: dict[int, dict[str, Any]] = {}
    with ExitStack() as opened:
        connections = []
        while len(heard) < len(workers.addresses) - 1 and (left := until - time.monotonic()) > 0:
            workers.listener.settimeout(left)
            try:
                connection = opened.enter_context(workers.listener.accept()[0])
                connection.settimeout(min(_HELLO_S, max(0.1, until - time.monotonic())))
                said = _hear(connection)
                place = int(said["place"])
            except (OSError, ValueError, TypeError, KeyError):
                continue  # nobody came, or somebody else
            connections.append(connection)
            heard[place] = said
        places = range(1, len(workers.addresses))
        absent = ", ".join(workers.addresses[each] for each in places if each not in heard)
        answer = {"absent": absent, "problem": _compare(workers, hello, heard), "told": told}
        for connection in connections:
            with suppress(OSError):
                _say(connection, answer)
    return answer


def _report(workers: Workers, hello: dict[str, Any], until: float) -> dict[str, Any]:
    """Be another worker: tell the chief, and hear what came of it."""
    chief = workers.addresses[0]
    while (left := until - time.monotonic()) > 0:
        try:
            with socket.create_connection(_split(chief), timeout=left) as connection:
                _say(connection, hello)
                return _hear(connection)
        except (OSError, ValueError):
            time.sleep(min(0.2, left))
    return {"absent": chief, "problem": None, "told": {}}


def _compare(
    workers: Workers, hello: dict[str, Any], heard: Mapping[int, dict[str, Any]]
) -> str | None:
    """Say in which way a worker differs from the chief; None where all want the same."""
    for place, said in sorted(heard.items()):
        if said.get("workers") != hello["workers"] or not 0 < place < len(workers.addresses):
            return (
                f"a worker knows other addresses: {said.get('workers')!r}, the first one "
                f"{hello['workers']!r}; give the same, in the same order, in every command"
            )
        changes = _name_differences(hello["facts"], said.get("facts", {}))
        if changes:
            shown = "; ".join(changes[:_SHOWN])
            more = f"; and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
            return (
                f"{workers.addresses[place]} differs from {workers.addresses[0]}: {shown}{more}; "
                "start the same command with the same recipe, images and versions everywhere"
            )
    return None


def _name_differences(one: Facts, other: Facts) -> list[str]:
    return [
        f"{key}: {one.get(key, 'absent')} -> {other.get(key, 'absent')}"
        for key in dict.fromkeys([*one, *other])
        if one.get(key) != other.get(key)
    ]


def _say(connection: socket.socket, content: Facts) -> None:
    connection.sendall(json.dumps(content).encode() + b"\n")


def _hear(connection: socket.socket) -> dict[str, Any]:
    """Read one line of JSON.

    Raises:
        OSError: If the other side is gone, or too slow.
        ValueError: If it says something else.
    """
    with connection.makefile("rb") as stream:
        line = stream.readline(_MOST_BYTES)
    content = json.loads(line)
    if not line.endswith(b"\n") or not isinstance(content, dict):
        raise ValueError("not a line of a worker")
    return content
