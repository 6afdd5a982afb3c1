"""Files in memory: saved from a folder, written to one, joined and selected by owner."""

from pathlib import Path

import pytest

from spacy_msvse.util import as_folder, join_files, save_files, select_files


def save_two(folder: str) -> None:
    (Path(folder) / "sub").mkdir()
    (Path(folder) / "a.txt").write_bytes(b"a")
    (Path(folder) / "sub" / "b.txt").write_bytes(b"b")


def test_files_come_back_from_a_folder_as_they_were_saved():
    files = save_files(save_two, lambda folder: (Path(folder) / "c.txt").write_bytes(b"c"))
    assert files == {"a.txt": b"a", "c.txt": b"c", "sub/b.txt": b"b"}
    with as_folder(files) as folder:
        assert (Path(folder) / "sub" / "b.txt").read_bytes() == b"b"
    assert not Path(folder).exists()


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "sub/../../out.txt"])
def test_a_name_that_leads_out_of_the_folder_is_refused(name):
    with pytest.raises(ValueError, match=r"E006.*out\.txt"), as_folder({name: b""}):
        pass


def test_joined_files_can_be_selected_by_owner():
    files = join_files({"regions": {"a.txt": b"a"}, "regions2": {"sub/b.txt": b"b"}, "none": {}})
    assert files == {"regions/a.txt": b"a", "regions2/sub/b.txt": b"b"}
    assert select_files(files, "regions") == {"a.txt": b"a"}
    assert select_files(files, "regions2") == {"sub/b.txt": b"b"}
    assert select_files(files, "other") == {}
