"""Work that ends its process is divided until one item is left, and the others are done."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing import active_children

import pytest

from spacy_msvse.component import guard
from spacy_msvse.component.guard import Guard, describe_exit, map_guarded
from spacy_msvse.errors import MsvseError

KILLERS = {7: signal.SIGKILL, 20: signal.SIGTERM}


def double(items):
    """Work that some numbers end."""
    for item in items:
        if item in KILLERS:
            os.kill(os.getpid(), KILLERS[item])
    return [2 * item for item in items]


def make_double():
    return double


def note_lost(item, reason):
    return f"{item} lost by {reason}"


def batches(size=8, count=4):
    return [list(range(size * number, size * (number + 1))) for number in range(count)]


def run(make=make_double, work=None, **settings):
    return list(map_guarded(make, work or batches(), note_lost, **settings))


@pytest.mark.parametrize("n_process", [1, 3])
def test_only_the_items_that_end_their_process_are_lost(n_process):
    lost = {item: f"{item} lost by {number.name}" for item, number in KILLERS.items()}
    expected = [[lost.get(item, 2 * item) for item in batch] for batch in batches()]
    assert run(n_process=n_process) == expected
    assert not active_children()


def test_processes_need_not_be_forked():
    assert run(work=[[6], [7]], method="spawn") == [[12], ["7 lost by SIGKILL"]]


def test_a_process_that_is_killed_from_outside_loses_nothing_and_divides_nothing(tmp_path):
    mark = tmp_path / "killed"

    def work(items):
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [len(items)] * len(items)

    assert run(lambda: work, n_process=2) == [[8] * 8] * 4


def test_processes_that_end_before_they_begin_end_the_run():
    begun = time.monotonic()
    with pytest.raises(MsvseError, match=r"MSVSE-E200.*exit status 3"):
        run(lambda: os._exit(3), n_process=2)
    assert time.monotonic() - begun < 10
    assert not active_children()


def test_processes_that_end_in_all_their_work_end_the_run(monkeypatch):
    monkeypatch.setattr(guard, "MAX_DEATHS", 10)
    with pytest.raises(MsvseError, match=r"MSVSE-E200.*10 times in a row.*SIGKILL"):
        run(lambda: lambda items: os.kill(os.getpid(), signal.SIGKILL))


class Unpicklable(Exception):
    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("error", "message"),
    [(KeyError("a key"), "a key"), (Unpicklable(1, 2), "Unpicklable: 1 and 2")],
)
def test_an_error_of_the_work_is_raised(error, message):
    with pytest.raises(Exception, match=message):
        run(lambda: lambda items: fail(error))
    with pytest.raises(Exception, match=message):
        run(lambda: fail(error))
    assert not active_children()


def test_a_run_that_is_left_ends_its_processes():
    results = map_guarded(lambda: lambda items: items, batches(), note_lost, n_process=2)
    next(results)
    assert len(active_children()) == 2
    results.close()
    assert not active_children()


def test_few_batches_are_in_memory():
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield [taken] * 100

    for done, batch in enumerate(map_guarded(make_double, endless(), note_lost, n_process=2), 1):
        assert batch == [2 * done] * 100 if done not in KILLERS else batch[0].endswith("SIGKILL")
        assert taken - done <= 4
        if done == 6:
            break


def test_large_items_pass_in_both_directions():
    large = [[b"0" * 3_000_000] * 2 for _ in range(6)]
    assert run(lambda: lambda items: items, large, n_process=2) == large


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_and_the_end_of_the_parent_end_processes_that_never_return(tmp_path, kill):
    script = f"""
import pathlib, os, signal, time
from spacy_msvse.component.guard import map_guarded

# A shell that starts the tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

def work(items):
    pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch()
    time.sleep(1000)

list(map_guarded(lambda: work, [[1], [2]], None, n_process=2))
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, start_new_session=True
    ) as parent:
        end = time.monotonic() + 60
        while len(workers := [int(path.name) for path in tmp_path.iterdir()]) < 2:
            assert time.monotonic() < end
            time.sleep(0.05)
        if kill == signal.SIGINT:
            os.killpg(parent.pid, kill)  # as a terminal does
        else:
            parent.kill()
        errors = parent.stderr.read().decode()
    assert errors.count("KeyboardInterrupt") == (kill == signal.SIGINT)
    end = time.monotonic() + 10
    while any(map(exists, workers)):
        assert time.monotonic() < end
        time.sleep(0.05)


def exists(process):
    try:
        with open(f"/proc/{process}/stat") as file_:
            return file_.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_end_of_a_process_is_described():
    assert describe_exit(-9) == "SIGKILL"
    assert describe_exit(3) == "exit status 3"
    assert describe_exit(-1000) == "exit status -1000"


def make_double_with_process():
    return lambda items: [(2 * item, os.getpid()) for item in items]


def test_the_processes_of_a_guard_stay_for_further_runs():
    with Guard(make_double_with_process, note_lost, method="fork") as kept:
        first, second = [list(kept.map([[1, 2], [3]])) for _ in range(2)]
        os.kill(first[0][0][1], signal.SIGKILL)
        third = list(kept.map([[4]]))
    assert first == second
    assert [value for batch in first for value, _ in batch] == [2, 4, 6]
    assert third[0][0][0] == 8
    assert third[0][0][1] != first[0][0][1]
    assert not active_children()


def test_a_run_that_fails_or_is_broken_off_does_not_disturb_the_next_one():
    def fail(items):
        if items == [0]:
            raise KeyError("zero")
        return items

    with Guard(lambda: fail, note_lost, method="fork") as kept:
        with pytest.raises(KeyError):
            list(kept.map([[0], [1], [2]]))
        assert list(kept.map([[3]])) == [[3]]
        for _ in kept.map([[4], [5], [6]]):
            break
        assert list(kept.map([[7], [8]])) == [[7], [8]]
    assert not active_children()
