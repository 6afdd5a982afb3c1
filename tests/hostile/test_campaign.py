"""The campaign itself: it sees crashes, hangs and deaths; a seed always gives the same inputs."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from spacy_msvse.errors import Errors, MsvseError

from .campaign import Finding, Kind, Worker, listing, plan, run_campaign, summary, table
from .kinds import KINDS
from .mutations import mutated
from .scene import same
from .settings import all_cases, find_settings, order
from .verdicts import CRASH, HANG, LOSS, OK, WRONG, Case, expect

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked and killed")


@dataclass
class Scene:
    folder: Path


def refused(case: Case) -> None:
    case.say("an error with a code")
    raise MsvseError(Errors.E003.format(name="x"))


def without_code(case: Case) -> None:
    raise MsvseError("an error without a code")


def traceback(case: Case) -> None:
    raise KeyError("x")


def dies(case: Case) -> None:
    case.say("a death")
    os.kill(os.getpid(), signal.SIGKILL)


def waits(case: Case) -> None:
    case.say("a wait")
    time.sleep(60)


def computes(case: Case) -> None:
    end = time.process_time() + 0.5
    while time.process_time() < end:
        pass


def loses(case: Case) -> None:
    expect(1 == 2, LOSS, "a row is lost")


def gc_off(case: Case) -> None:
    import gc

    gc.disable()


def asks(case: Case) -> None:
    assert input() == "y"
    expect(False, WRONG, "somebody was asked")


def fills_memory(case: Case) -> None:
    bytearray(2**40)


ENDS = {
    refused: OK,
    without_code: CRASH,
    traceback: CRASH,
    dies: CRASH,
    waits: HANG,
    computes: HANG,
    loses: LOSS,
    gc_off: WRONG,
    asks: WRONG,
    fills_memory: CRASH,
}


@pytest.fixture
def worker(tmp_path):
    worker = Worker({run.__name__: Kind(run, 1, 0.3, 1) for run in ENDS}, Scene(tmp_path))
    yield worker
    worker.stop()


@pytest.mark.parametrize("run", ENDS, ids=lambda run: run.__name__)
def test_a_case_is_judged_by_how_it_ends(worker, run):
    finding = worker.run(run.__name__, 0, 0)
    assert finding.verdict == ENDS[run], finding.note


def test_the_next_case_runs_after_a_death_and_a_hang(worker):
    names = ("dies", "refused", "waits", "refused")
    findings = [worker.run(name, 0, number) for number, name in enumerate(names)]
    assert [finding.verdict for finding in findings] == [CRASH, OK, HANG, OK]
    assert [finding.what for finding in findings[::2]] == ["a death", "a wait"]


def test_a_campaign_removes_the_folders_of_its_cases(tmp_path):
    def writes(case: Case) -> None:
        (case.folder / "file").write_text("x")

    kinds = {"writes": Kind(writes, 1, 1)}
    assert len(list(run_campaign(kinds, Scene(tmp_path), 0, 3))) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_plan_has_every_kind_and_about_as_many_inputs_as_asked():
    assert set(plan(KINDS, 1).values()) == {1}
    assert sum(plan(KINDS, 10_000).values()) == pytest.approx(10_000, rel=0.01)


def test_the_same_seed_gives_the_same_inputs(tmp_path):
    def picture(seed: int) -> tuple:
        return mutated(Case("pictures", seed, 5, tmp_path, None).chance)

    assert picture(1) == picture(1) != picture(2)
    assert order(1) == order(1) != order(2)


def test_every_setting_of_the_package_is_tried_with_wrong_values():
    owners = {setting.owner for setting in find_settings()}
    assert {
        "",
        "spacy-msvse.MSVSE.v1",
        "spacy-msvse.TextCrf.v1",
        "spacy-msvse.VisualExtractor.v1",
    } <= owners
    tried = {setting.path for setting, _, _ in all_cases()}
    assert {setting.path for setting in find_settings()} <= tried
    assert len(all_cases()) > 10 * len(find_settings())


def test_answers_are_equal_only_if_spans_labels_and_confidences_are():
    right = [[(0, 3, "PER", 0.9)], []]
    assert same(right, right)
    for wrong in (
        [[(0, 3, "LOC", 0.9)], []],
        [[(0, 2, "PER", 0.9)], []],
        [[(0, 3, "PER", 0.8999)], []],
        [[(0, 3, "PER", float("nan"))], []],
        [[(0, 3, "PER", 0.9)]],
        [[], [(0, 3, "PER", 0.9)]],
    ):
        assert not same(wrong, right)


def test_results_stand_side_by_side():
    findings = [
        Finding("rows", 0, n, verdict, "n", "w") for n, verdict in enumerate((OK, CRASH, HANG))
    ]
    before, after = summary(findings, {"seed": 0}), summary(findings[:1] * 3, {"seed": 0})
    assert (
        table(before, after).splitlines()[2] == "| rows | 3 / 3 | 1 / 0 | 1 / 0 | 0 / 0 | 0 / 0 |"
    )
    assert listing(findings).splitlines() == ["crash: rows 0 1: w: n", "hang: rows 0 2: w: n"]
