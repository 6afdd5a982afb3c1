"""The page "Add a method", followed literally: train, evaluate, annotate, package, compare."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import srsly

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "add-a-method.md").read_text(encoding="utf8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_page_is_short():
    assert len(PAGE.splitlines()) <= 150


@pytest.mark.timeout(600)
def test_a_method_of_ones_own_is_one_file(tmp_path):
    method, use = blocks("python")
    (posts,) = blocks("json")
    (tmp_path / "tag_gate.py").write_text(method)
    (tmp_path / "posts.jsonl").write_text(posts)
    (tmp_path / "assets").symlink_to(ROOT / "assets")
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    for script in blocks("bash"):
        # Wheels are built without isolation, which would download setuptools.
        script = script.replace("--build wheel", "--build none")
        subprocess.run(["bash", "-ec", script], check=True, cwd=tmp_path, env=environment)
    (row,) = srsly.read_jsonl(tmp_path / "annotated.jsonl")
    assert row["text"] == srsly.json_loads(posts)["text"]
    assert "error" not in row
    shown = subprocess.run(
        [sys.executable, "-c", use], check=True, cwd=tmp_path, capture_output=True, text=True
    )
    assert shown.stdout.startswith("[")
    (packaged,) = (tmp_path / "packages").glob("en_tag_gate-0.1.0/en_tag_gate/tag_gate.py")
    assert packaged.read_text() == method
    table = (tmp_path / "ablation" / "ablation.md").read_text()
    assert "without_gate" in table
