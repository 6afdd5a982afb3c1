"""Hostile rows and sidecar files, through `annotate` and `convert`."""

import json
import math
import random
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from spacy.tokens import DocBin

from .children import coded_exit, command
from .scene import TEXTS, Scene, write_rows
from .values import any_text
from .verdicts import CRASH, LOSS, WRONG, Bad, Case, expect

KEYS = (
    *("text", "words", "tokens", "spans", "image", "images", "tags", "caption", "texts", "meta"),
    "answer",
    *("_view_id", "width", "height", "error", "id"),
)


def any_json(chance: random.Random, depth: int = 0) -> Any:
    """A value that JSON can hold, or nearly."""
    simple = [None, True, False, 0, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**40, 1e308, 0.1, ""]
    simple += [
        math.nan,
        math.inf,
        -0.0,
        "jordan",
        "x" * 3000,
        "\u2028",
        "\0",
        "\ud800",
        "O",
        "B-PER",
    ]
    if depth > 3 or chance.random() < 0.6:
        return chance.choice(simple)
    if chance.random() < 0.5:
        return [any_json(chance, depth + 1) for _ in range(chance.randrange(4))]
    keys = (*KEYS, "start", "end", "label", "x", "y", "points", "\ud800", "")
    return {chance.choice(keys): any_json(chance, depth + 1) for _ in range(chance.randrange(4))}


def any_span(chance: random.Random) -> Any:
    span = {"start": chance.choice((0, 4, -1, 99, 2**70, 4.0, "4", None, True))}
    span |= {
        "end": chance.choice((10, 4, 3, 0, -1, 2**31, None)),
        "label": chance.choice(("PER", "", 3, None, "\0")),
    }
    return chance.choice((span, {**span, "text": any_json(chance)}, any_json(chance)))


def paths_outside(scene: Scene) -> list[str]:
    return [
        "../pipeline/config.cfg",
        str(scene.pipeline / "config.cfg"),
        "/etc/passwd",
        "/dev/zero",
        "/dev/stdin",
        "..",
        ".",
        "0.png/../../pictures/1.png",
        "http://127.0.0.1:1/x.png",
        "file:///etc/passwd",
        "\0",
        "0.png\0",
        "~/x.png",
        "x" * 5000,
        "data:image/png;base64,AAAA",
        "data:,x",
        "data:image/png;base64," + "A" * 4000,
        "//server/share/x.png",
        "",
        " ",
    ]


def hostile_line(chance: random.Random, scene: Scene) -> bytes:
    """A line of a file of posts that is hostile."""
    kind = chance.randrange(10)
    row: Any = {"text": chance.choice(TEXTS)}
    if kind == 0:
        return chance.choice(
            (
                b"{",
                b'{"text": "half',
                b"null",
                b"3",
                b'"text"',
                b"[1]",
                b"[[]]",
                b"{}",
                b'{"text"}',
                b'{"text": "a"} {"text": "b"}',
                b"\xff\xfe",
                b'{"text": "\xff"}',
                b'{"text": "\\ud83d"}',
                b'{"text": "a", "text": "b"}',
                b'{"text": NaN}',
                b'{"text": "a", "id": Infinity}',
                b'{"text": "a", "id": 1e999}',
                b'{"text": "a", "id": ' + b"9" * 5000 + b"}",
                b'{"text": "a", "meta": ' + b"[" * 5000 + b"]" * 5000 + b"}",
                b'{"text": "a", "meta": ' + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"}",
                b"\xef\xbb\xbf" + b'{"text": "a"}',
                b"// comment",
                b"{'text': 'a'}",
                b'{"text": "a",}',
                b"\x1b[2J",
                b"version https://git-lfs.github.com/spec/v1",
                b'{"text": "a"}\r',
            )
        )
    if kind == 1:
        row["image"] = chance.choice(paths_outside(scene))
    elif kind == 2:
        row["spans"] = [any_span(chance) for _ in range(chance.randrange(1, 4))]
    elif kind == 3:
        row["text"] = any_text(chance)
    elif kind == 4:
        row = {
            "words": chance.choice(
                (["saw", "jordan"], [""], ["a\0"], [any_text(chance)], any_json(chance))
            )
        }
        row |= {"text": any_text(chance)} if chance.random() < 0.5 else {}
    elif kind == 5:
        row["tokens"] = [
            {"text": chance.choice(("saw", any_json(chance))), "start": any_json(chance), "end": 3}
            for _ in range(2)
        ]
    else:
        for _ in range(chance.randrange(1, 4)):
            row[chance.choice(KEYS)] = any_json(chance)
    return json.dumps(row).encode("utf8", "surrogatepass")


def parse(content: bytes) -> list[dict[str, Any]]:
    """Read an output: strict JSON, one object a line."""

    def refuse(name: str) -> None:
        raise Bad(WRONG, f"the output has {name}, which is not JSON")

    lines = content.decode("utf8").split("\n")
    expect(lines.pop() == "", LOSS, "the last line has no end")
    return [json.loads(line, parse_constant=refuse) for line in lines]


def mixed_file(case: Case, count: int) -> tuple[Path, list[int | None]]:
    """A file of good and hostile lines, and which good row each line is."""
    scene, chance = case.scene, case.chance
    lines: list[Any] = [scene.rows[0]]
    which: list[int | None] = [0]
    for _ in range(count):
        if chance.random() < 0.4:
            which.append(chance.randrange(len(scene.rows)))
            lines.append(scene.rows[which[-1]])  # type: ignore[index]
        else:
            lines.append(hostile_line(chance, scene))
            which.append(None if lines[-1].strip() else -1)
    which = [number for number in which if number != -1]
    case.say(" | ".join(repr(line)[:70] for line in lines if isinstance(line, bytes)))
    return write_rows(case.folder / "posts.jsonl", lines), which


def hostile_rows(case: Case) -> None:
    """No row ends the run, each is in the output, and good rows have the right answer."""
    scene = case.scene
    path, which = mixed_file(case, 12)
    output = case.folder / "out.jsonl"
    status, text = command("annotate", scene.pipeline, path, output, "--image-root", scene.pictures)
    coded_exit(status, text)
    if status and ("MSVSE-E131" in text or "MSVSE-E133" in text or "MSVSE-E130" in text):
        expect(not output.exists(), WRONG, "an output of a run that failed")
        return
    expect(status == 0, LOSS, f"one row ended the run: {text[-300:]}")
    rows = parse(output.read_bytes())
    expect(len(rows) == len(which), LOSS, f"{len(rows)} rows instead of {len(which)}")
    for number, row in zip(which, rows, strict=True):
        if number is None:
            done = "error" in row or isinstance(row.get("spans"), list)
            expect(done, LOSS, f"neither spans nor an error: {row}")
            continue
        expect("error" not in row, WRONG, f"a good row has the error {row.get('error')}")
        spans = [(s["start"], s["end"], s["label"]) for s in row["spans"]]
        right = [entity[:3] for entity in scene.answers[number]]
        expect(spans == right, WRONG, f"{spans} instead of {right}")
        for span, entity in zip(row["spans"], scene.answers[number], strict=True):
            expect(abs(span["score"] - entity[3]) < 2e-4, WRONG, f"score {span['score']}, {entity}")


def converted_rows(case: Case) -> None:
    """`convert` names every row that it leaves out, and writes all others."""
    scene, chance = case.scene, case.chance
    path, which = mixed_file(case, 12)
    output = case.folder / "out.spacy"
    options = [
        "--lang",
        "xx",
        "--format",
        "jsonl",
        "--skip-bad-rows",
        "--allow-no-entities",
        "--allow-no-pictures",
    ]
    options += ["--offsets", chance.choice(("characters", "utf16", "utf8"))]
    if chance.random() < 0.3:
        options.append("--binary")
    status, text = command("convert", path, output, "--image-root", scene.pictures, *options)
    coded_exit(status, text)
    if status:
        expect("E131" in text or "E133" in text or "E130" in text, LOSS, text[-300:])
        return
    docs = list(DocBin().from_disk(output).get_docs(scene.nlp.vocab))
    good = sum(number is not None for number in which)
    expect(len(docs) >= good, LOSS, f"{len(docs)} posts, of which {good} are good")
    report = json.loads((case.folder / "out.spacy.json").read_text("utf8"))
    left_out = report["posts_malformed"] + sum(report["posts_rejected"].values())
    total = report["posts"] + left_out
    expect(total == len(which), LOSS, f"{total} of {len(which)} rows are counted: {text[-200:]}")
    expect(
        report["posts"] == len(docs), LOSS, f"{report['posts']} posts counted, {len(docs)} written"
    )


def hostile_xml(chance: random.Random) -> bytes:
    """A file of boxes that is hostile."""
    corner = chance.choice(("1", "-1", "nan", "inf", "1e999", "9" * 400, "", "x", "\u0663"))
    box = f"<bndbox><xmin>0</xmin><ymin>{corner}</ymin><xmax>9</xmax><ymax>{corner}</ymax></bndbox>"
    size = f"<size><width>{chance.choice(('10', '0', corner))}</width><height>10</height></size>"
    good = f"<annotation>{size}<object><name>jordan</name>{box}</object></annotation>"
    entities = '<!ENTITY a0 "x">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12)
    )
    return chance.choice(
        (
            good.encode(),
            good.encode("utf-16"),
            good[: chance.randrange(len(good))].encode(),
            b"",
            b"\0" * 20,
            b"<a>" * 100_000,
            b"<a/>",
            b'<?xml version="1.0" encoding="x"?><a/>',
            f"<!DOCTYPE a [{entities}]><a><object><name>&a11;</name></object></a>".encode(),
            b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><object><name>&x;</name>'
            b"</object></annotation>",
        )
    )


def hostile_sidecar(case: Case) -> None:
    """Files of captions, tags and boxes that cannot be used are a coded error or named rows."""
    scene, chance = case.scene, case.chance
    kind = chance.choice(("captions", "tags", "boxes"))
    names = [row.get("image", "x.png") for row in scene.rows]
    good = {"captions": "a red thing", "tags": ["red"], "boxes": {"boxes": []}}[kind]
    shape = chance.randrange(6)
    if shape == 0:
        content = json.dumps({name: any_json(chance) for name in names}).encode("utf8", "replace")
    elif shape == 1:
        content = json.dumps(any_json(chance)).encode()
    elif shape == 2:
        content = b"".join(hostile_line(chance, scene) + b"\n" for _ in range(5))
    elif shape == 3:
        content = chance.choice(
            (b"", b"\0" * 50, b"\xff\xfe{", b"{" * 20_000, b"[" * 200_000, b"null")
        )
    elif shape == 4:
        rows = [
            {"image": name, kind: any_json(chance), "spans": any_json(chance)} for name in names
        ]
        content = "\n".join(json.dumps(row) for row in rows).encode()
    else:
        whole = json.dumps(dict.fromkeys(names, good)).encode()
        content = whole[: chance.randrange(len(whole))]
    suffix = chance.choice((".json", ".jsonl", ".txt"))
    sidecar = case.folder / f"sidecar{suffix}"
    if kind == "boxes":
        sidecar, content = case.folder / "boxes", hostile_xml(chance)
        sidecar.mkdir()
        for name in names:
            (sidecar / name).with_suffix(".xml").write_bytes(content)
    else:
        sidecar.write_bytes(content)
    case.say(f"--{kind} {suffix}: {content[:150]!r}")
    path = write_rows(case.folder / "posts.jsonl", scene.rows)
    output = case.folder / "out.spacy"
    arguments = (path, output, "--image-root", scene.pictures, f"--{kind}", sidecar)
    options = ("--lang", "xx", "--format", "jsonl", "--skip-bad-rows", "--allow-no-entities")
    status, text = command("convert", *arguments, *options)
    coded_exit(status, text)
    if status == 0:
        count = len(list(DocBin().from_disk(output).get_docs(scene.nlp.vocab)))
        expect(count == len(scene.rows), LOSS, f"{count} posts of {len(scene.rows)}")


class Scripts(HTMLParser):
    """Finds what a page must not have: scripts, handlers of events, and links that load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "link", "base", "form", "meta"):
            policy = ("http-equiv", "Content-Security-Policy")
            safe = tag == "meta" and all(
                name in ("charset", "name", "content") or (name, value) == policy
                for name, value in attrs
            )
            if not safe:
                self.found.append(f"<{tag}>")
        for name, value in attrs:
            loads = name in ("src", "href", "srcset", "action", "poster", "data")
            inside = (value or "").startswith(("data:image/", "#"))
            if name.startswith("on") or (loads and not inside):
                self.found.append(f"{tag} {name}={value!r}"[:100])


def hostile_page(case: Case) -> None:
    """A page of hostile posts shows every post and holds no script."""
    scene, chance = case.scene, case.chance
    evil = [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "</style><script>1</script>",
        "javascript:alert(1)",
        "'-->]]></div></body>",
        "{{7*7}}{% include '/etc/passwd' %}",
        "&lt;script&gt;",
        "<svg/onload=alert(1)>",
    ]
    rows: list[Any] = []
    for number in range(4):
        text = f"jordan {chance.choice(evil)}"
        row: dict[str, Any] = {"text": text, "image": chance.choice(("0.png", chance.choice(evil)))}
        row["spans"] = [{"start": 0, "end": 6, "label": chance.choice(evil)}]
        row["tags"] = [chance.choice(evil)]
        row["caption"] = chance.choice(evil)
        row["texts"] = {chance.choice(evil): chance.choice(evil)}
        row["meta"] = {chance.choice(evil): chance.choice(evil), "number": number}
        rows.append(row)
    rows += [hostile_line(chance, scene) for _ in range(2)]
    case.say(rows)
    path = write_rows(case.folder / "posts.jsonl", rows)
    output = case.folder / "page.html"
    model = chance.choice(("-", "-", scene.pipeline))
    status, text = command("render", model, path, output, "--image-root", scene.pictures)
    coded_exit(status, text)
    expect(status == 0, LOSS, f"one row ended the run: {text[-300:]}")
    page = output.read_text("utf8")
    scripts = Scripts()
    scripts.feed(page)
    expect(not scripts.found, WRONG, f"a script in the page: {scripts.found}")
    expect(page.count("jordan") >= 4, LOSS, "a post is not in the page")


def hostile_file(case: Case) -> None:
    """Files in the place of others are a coded error."""
    scene, chance = case.scene, case.chance
    odd = case.folder / chance.choice(("odd.jsonl", "odd.spacy", "odd.json", "odd"))
    contents = (
        b"",
        b"\n\n\n",
        b"\0" * 100,
        b"\xff" * 100,
        b"[]",
        b"{}",
        b"null",
        b"PK\3\4",
        b"\x1f\x8b\x08",
        (scene.pipeline / "config.cfg").read_bytes(),
        json.dumps(scene.rows).encode(),
        json.dumps(scene.rows[0]).encode()[:-3],
        chance.randbytes(500),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    )
    odd.write_bytes(chance.choice(contents))
    good = write_rows(case.folder / "good.jsonl", scene.rows)
    out = case.folder / "out"
    missing, folder = case.folder / "missing", case.folder
    commands = (
        ("annotate", scene.pipeline, odd, out),
        ("annotate", odd, good, out),
        ("annotate", missing, good, out),
        ("annotate", scene.pipeline, missing, out),
        ("annotate", scene.pipeline, good, good),
        ("annotate", scene.pipeline, good, odd / "x"),
        ("annotate", folder, good, out),
        ("convert", odd, out.with_suffix(".spacy")),
        ("convert", good, odd),
        ("convert", good, out),
        ("render", scene.pipeline, odd, out),
        ("render", odd, good, out),
        ("evaluate", scene.pipeline, odd),
        ("evaluate", scene.pipeline, missing),
        ("evaluate", odd, odd),
        ("extract", odd, out, "--config", scene.pipeline / "config.cfg"),
        ("extract", odd, out, "--config", odd),
        ("debug-data", odd, odd),
        ("store", "info", odd),
        ("store", "verify", odd),
        ("store", "prune", folder, "--keep", "a"),
        ("calibrate", scene.pipeline, odd, "--output", out),
        ("card", scene.pipeline, odd, "--output", out),
        ("card", odd, odd, "--output", out),
    )
    chosen = chance.choice(commands)
    case.say(f"{' '.join(Path(str(a)).name for a in chosen)}, odd is {odd.read_bytes()[:30]!r}")
    before = good.read_bytes()
    status, text = command(*chosen)
    if status == 2:  # an argument that Typer refuses, such as a file that does not exist
        expect("Usage:" in text or "Error" in text, CRASH, text[-300:])
        return
    coded_exit(status, text)
    expect(good.read_bytes() == before, LOSS, "the input has changed")
