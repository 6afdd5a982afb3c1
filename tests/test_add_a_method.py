"""The page "Add a method", followed literally: train, evaluate, annotate, package, compare."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import srsly
import torch

from .network.conftest import TINY_ENCODER, make_inputs, make_targets

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "add-a-method.md").read_text(encoding="utf8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_code_of_the_page_is_short():
    code = [block for language in ("python", "bash", "json") for block in blocks(language)]
    assert sum(len(block.splitlines()) for block in code) <= 150


@pytest.mark.timeout(600)
def test_a_method_of_a_user_is_one_file(tmp_path):
    method, use, _ = blocks("python")
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


def test_the_method_that_scores_spans_trains(tmp_path):
    """The last block replaces two functions of the first."""
    method, _, spans = blocks("python")
    code = method.replace('Reads(texts=("tags",))', 'Reads(joint=("caption",))')
    code = code.replace("self.decoder = LabelDecoder(width, len(config.types), config.dropout)", "")
    code = code.replace(
        "self.gate =", "self.scorer = nn.Linear(width, len(config.types) + 1)\n        self.gate ="
    )
    namespace: dict = {"__name__": "spans"}
    exec(code + "\n" + spans, namespace)
    cls = namespace["TagGate"]
    cls.compute, cls.loss = namespace["compute"], namespace["loss"]
    torch.manual_seed(0)
    network = cls.build({"types": ["PER", "LOC"], "encoder": TINY_ENCODER, "gate": False})
    network.set_dropout(0.0)
    inputs = make_inputs([5, 3], [0, 0], [0, 0], [4, 0])
    targets = make_targets(inputs)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        network.train()(inputs)
        network.loss(network(inputs), targets).total.backward()
        optimizer.step()
    labels = targets.allowed.int().argmax(dim=2)
    gold = [
        [post, token, token + 1, (int(labels[post, token]) - 1) // 2]
        for post, length in enumerate([5, 3])
        for token in range(length)
        if labels[post, token]
    ]
    answer = network.eval().answer(network(inputs))
    assert answer.best_entities().tolist() == gold
