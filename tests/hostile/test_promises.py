"""A sample of the campaign: no crash, no hang, no silent loss and no wrong result, kind by kind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from .kinds import KINDS

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are forked and killed")

#: The sample. Every kind has at least one input.
INPUTS, SEED = 200, 2026


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict:
    """The results of the sample, from another process, whose memory and threads are its own."""
    output = tmp_path_factory.mktemp("campaign") / "sample.json"
    arguments = ["run", "--inputs", str(INPUTS), "--seed", str(SEED), "--output", str(output)]
    command = [sys.executable, "-m", "tests.hostile", *arguments]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=280)
    assert output.exists(), done.stderr
    return json.loads(output.read_text("utf8"))


def bad(found: dict, *kinds: str) -> list[str]:
    """The cases of some kinds that are not ok."""
    assert all(found["tried"][kind] > 0 for kind in kinds)
    return [
        "{verdict}: {kind} {seed} {number}: {what}: {note}".format(**one)
        for one in found["findings"]
        if one["kind"] in kinds
    ]


def test_the_sample_has_inputs_of_every_kind(found):
    assert found["tried"].keys() == KINDS.keys()
    assert sum(found["tried"].values()) >= INPUTS


def test_every_picture_is_decoded_or_named_with_a_reason(found):
    assert bad(found, "pictures") == []


def test_every_value_of_an_attribute_is_refused_or_used(found):
    assert bad(found, "values") == []


def test_no_row_ends_a_run_or_is_lost(found):
    assert bad(found, "rows", "conversion") == []


def test_files_that_cannot_be_used_are_coded_errors(found):
    assert bad(found, "sidecars", "files") == []


def test_a_page_shows_every_post_and_holds_no_script(found):
    assert bad(found, "pages") == []


def test_a_setting_that_makes_no_sense_is_refused_when_the_pipeline_is_made(found):
    assert bad(found, "settings") == []


def test_a_damaged_component_is_refused_or_predicts_what_it_predicted(found):
    assert bad(found, "components") == []


def test_a_mixture_of_two_pipelines_is_refused_or_named(found):
    assert bad(found, "pipelines", "saves", "killed save") == []


def test_a_damaged_store_loses_no_entity(found):
    assert bad(found, "stores", "records") == []


def test_a_store_opens_under_a_limit_of_memory_or_names_it(found):
    assert bad(found, "memory") == []


def test_a_crafted_file_of_posts_is_a_coded_error_or_is_read_whole(found):
    assert bad(found, "docbins") == []


def test_vectors_that_are_not_finite_change_no_weight_and_lose_no_entity(found):
    assert bad(found, "extractors", "vectors") == []


def test_a_full_disk_is_a_coded_error_and_outputs_stay_whole(found):
    assert bad(found, "disks") == []


def test_links_with_the_names_of_temporary_files_are_not_followed(found):
    assert bad(found, "links") == []


def test_a_killed_run_continues_without_losing_or_doubling_a_row(found):
    assert bad(found, "killed annotate", "killed extract", "two runs", "resumed") == []


def test_a_killed_worker_does_not_stop_the_run(found):
    assert bad(found, "killed worker", "killed pipe") == []


def test_one_pipeline_in_eight_threads_gives_the_right_answers(found):
    assert bad(found, "threads") == []


def test_every_kind_belongs_to_a_promise():
    text = Path(__file__).read_text("utf8")
    assert [kind for kind in KINDS if f'"{kind}"' not in text] == []
