from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.ports import choose_addresses
from tfclassify.errors import RequestError, TrainingError
from tfclassify.training import workers as workers_module
from tfclassify.training.workers import Workers, find_workers, meet

FACTS = {"seed": 1, "keras": "3.15"}


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TF_CONFIG", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)


def write_config(place: int, *addresses: str, kind: str = "worker", **more: object) -> str:
    task = {"type": kind, "index": place}
    return json.dumps({"cluster": {"worker": list(addresses), **more}, "task": task})


def meet_together(
    group: list[Workers], facts: list[dict[str, object]], patience_s: float = 20.0
) -> list[object]:
    """Let workers meet, each in a thread; return what each got or raised."""

    def one(workers: Workers, own: dict[str, object]) -> object:
        told = {"run": f"of {workers.place}"}
        try:
            return meet(workers, own, told, patience_s=patience_s)
        except (RequestError, TrainingError) as error:
            return error

    with ThreadPoolExecutor(len(group)) as pool:
        return list(pool.map(one, group, facts))


def test_processes_of_one_machine_take_one_address_each() -> None:
    given = ",".join(choose_addresses(3))
    group = [find_workers("auto", given) for _ in range(3)]
    assert [each.place for each in group if each] == [0, 1, 2]
    told = meet_together([each for each in group if each], [FACTS] * 3)
    assert told == [{"run": "of 0"}] * 3
    again = find_workers("multi_worker", given)  # the ports are free once it is over
    assert again is not None
    with again.listener:
        assert again.is_chief


def test_workers_that_want_different_things_are_told_so() -> None:
    given = ",".join(choose_addresses(2))
    one, other = (find_workers("auto", given) for _ in range(2))
    assert one is not None
    assert other is not None
    answers = meet_together([one, other], [FACTS, {"seed": 2, "tensorflow": "2.20"}])
    for answer in answers:
        assert isinstance(answer, RequestError)
        assert f"{other.addresses[1]} differs from {one.addresses[0]}" in str(answer)
        assert "seed: 1 -> 2; keras: 3.15 -> absent; tensorflow: absent -> 2.20" in str(answer)


def test_many_differences_are_counted() -> None:
    given = ",".join(choose_addresses(2))
    one, other = (find_workers("auto", given) for _ in range(2))
    assert one is not None
    assert other is not None
    answers = meet_together([one, other], [{str(n): n for n in range(9)}, {}])
    assert "4: 4 -> absent; and 4 more; start the same command" in str(answers[0])


def test_workers_with_other_addresses_are_told_so() -> None:
    first, second, third = choose_addresses(3)
    one = find_workers("auto", f"{first},{second}")
    other = find_workers("auto", f"{first},{third}")
    assert one is not None
    assert other is not None
    answers = meet_together([one, other], [FACTS, FACTS])
    assert "a worker knows other addresses" in str(answers[0])
    assert "in the same order" in str(answers[1])


def test_a_worker_that_does_not_come_is_named() -> None:
    addresses = choose_addresses(3)
    group = [find_workers("auto", ",".join(addresses)) for _ in range(2)]
    answers = meet_together([each for each in group if each], [FACTS] * 2, patience_s=0.5)
    assert isinstance(answers[0], TrainingError)
    assert f"no answer from {addresses[2]} within 0.5 s; start the same" in str(answers[0])


def test_a_first_worker_that_does_not_come_is_named() -> None:
    first, second = choose_addresses(2)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        workers = Workers((first, second), 1, listener)
        with pytest.raises(TrainingError, match=f"worker 2 of 2 .*no answer from {first}"):
            meet(workers, FACTS, {}, patience_s=0.3)


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n\r\n", b'{"place": []}\n', b"{}\n", b""])
def test_a_stranger_at_the_port_is_no_worker(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "_HELLO_S", 0.2)
    given = ",".join(choose_addresses(2))
    one, other = (find_workers("auto", given) for _ in range(2))
    assert one is not None
    assert other is not None
    host, port = one.addresses[0].split(":")
    with socket.create_connection((host, int(port))) as stranger:
        stranger.sendall(said)
        assert meet_together([one, other], [FACTS] * 2) == [{"run": "of 0"}] * 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("here", "an address is host:port, such as 10.0.0.1:5000, got 'here'"),
        ("127.0.0.1:70000,b:1", "got '127.0.0.1:70000'"),
        ("127.0.0.1:7000", "two or more different addresses"),
        ("127.0.0.1:7000,127.0.0.1:7000", "two or more different addresses"),
        # Kept for documentation by RFC 5737, so not this machine's.
        (
            "203.0.113.1:7000,203.0.113.2:7000",
            "none of 203.0.113.1:7000, 203.0.113.2:7000 is an address",
        ),
    ],
)
def test_addresses_that_cannot_be(given: str, said: str) -> None:
    with pytest.raises(RequestError, match=f"--workers: .*{said}"):
        find_workers("auto", given)


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        mine = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RequestError, match=f"--workers: {mine} would be this machine, but"):
            find_workers("auto", f"{mine},203.0.113.1:7000")


@pytest.mark.parametrize("strategy", ["none", "mirrored"])
def test_workers_and_a_strategy_of_one_process_exclude_each_other(strategy: str) -> None:
    with pytest.raises(RequestError, match=f"runtime.strategy: {strategy}, which is one process"):
        find_workers(strategy, "a:1,b:2")


@pytest.mark.parametrize("strategy", ["none", "mirrored", "auto"])
def test_without_a_word_it_is_one_process(strategy: str) -> None:
    assert find_workers(strategy) is None


def test_tf_config_says_who_is_who(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, chief = choose_addresses(3)
    monkeypatch.setenv("TF_CONFIG", write_config(1, first, second))
    workers = find_workers("auto")
    assert workers is not None
    with workers.listener:
        assert (workers.addresses, workers.place) == ((first, second), 1)
    monkeypatch.setenv("TF_CONFIG", write_config(0, first, chief=[chief]))
    workers = find_workers("multi_worker")
    assert workers is not None
    with workers.listener:
        assert (workers.addresses, workers.place) == ((chief, first), 1)


def test_tf_config_of_one_worker_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", write_config(0, "a:1"))
    assert find_workers("auto") is None
    with pytest.raises(RequestError, match="TF_CONFIG: name two or more different addresses"):
        find_workers("multi_worker")


@pytest.mark.parametrize(
    "config",
    [
        "nonsense",
        "[]",
        write_config(5, "a:1", "b:2"),
        write_config(0, "a:1", kind="evaluator"),
        write_config(0, "a:1", ps=["c:3"]),
    ],
)
def test_a_tf_config_that_cannot_be_read(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(RequestError, match=r"TF_CONFIG: expected .* mend it, or unset it"):
        find_workers("auto")


def test_the_port_of_tf_config_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("", 0)) as taken:
        mine = f"localhost:{taken.getsockname()[1]}"
        monkeypatch.setenv("TF_CONFIG", write_config(0, mine, "b:2"))
        with pytest.raises(RequestError, match=f"TF_CONFIG: the port of {mine} cannot be used"):
            find_workers("auto")


def test_slurm_says_who_is_who(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestError, match=r"multi_worker needs to know .* by srun"):
        find_workers("multi_worker")
    monkeypatch.setenv("SLURM_PROCID", "1")
    with pytest.raises(RequestError, match="Slurm's variables do not tell the processes"):
        find_workers("multi_worker")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "3")
    monkeypatch.setenv("SLURM_STEP_NODELIST", "node[1-2]")
    monkeypatch.setenv("SLURM_STEP_TASKS_PER_NODE", "2,1")
    workers = find_workers("multi_worker")
    assert workers is not None
    with workers.listener:
        assert workers.addresses == ("node1:8888", "node1:8889", "node2:8888")
        assert workers.place == 1
