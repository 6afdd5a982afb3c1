"""A folder of texts with pictures beside them."""

from spacy_msvse.corpus.folder import read_folder


def test_a_text_and_the_picture_of_its_name_are_a_post(tmp_path):
    (tmp_path / "b.txt").write_text("saw Zoë\n", encoding="utf-8")
    (tmp_path / "b.JPG").touch()
    (tmp_path / "a.txt").write_text("no picture\nat all", encoding="utf-8")
    for name in ("notes.csv", "a.pdf", "b.mpg", "c.ps"):
        (tmp_path / name).touch()
    (tmp_path / "more").mkdir()
    assert [row.values for row in read_folder(tmp_path)] == [
        {"meta": {"name": "a"}, "text": "no picture\nat all"},
        {"meta": {"name": "b"}, "image": "b.JPG", "text": "saw Zoë"},
    ]


def test_a_file_that_is_not_a_post_has_the_reason(tmp_path):
    (tmp_path / "alone.png").touch()
    (tmp_path / "latin.txt").write_bytes("Zoë".encode("latin-1"))
    for name in ("twice.txt", "twice.png", "twice.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "na\udcefve.txt").touch()
    (tmp_path / "lfs.txt").write_text("version https://git-lfs.github.com/spec/v1\n")
    (tmp_path / "wide.txt").write_bytes("Zoë".encode("utf-16"))
    (tmp_path / "inner.txt").mkdir()
    problems = {row.values["meta"]["name"]: row.problem for row in read_folder(tmp_path)}
    assert problems["alone"] == "the picture 'alone.png' has no text"
    assert "cannot be read" in problems["latin"]
    assert problems["twice"] == "several pictures have its name: twice.jpg, twice.png"
    assert "MSVSE-E130" in problems["lfs"]
    assert "MSVSE-E131" in problems["wide"]
    assert "MSVSE-E132" in problems["inner"]
    assert problems["na\ufffdve"] == "the name is not in UTF-8"
