"""The kinds of inputs, their shares of 10,000 inputs, and their time bounds."""

from pathlib import Path

from . import disks, docbins, kills, pipelines, posts, rows, settings, stores, values
from .campaign import Kind
from .mutations import bases, fixed_pictures
from .scene import Scene, make_scene

KINDS = {
    "pictures": Kind(posts.hostile_picture, 5020, 5),
    "values": Kind(values.hostile_values, 1400, 10),
    "rows": Kind(rows.hostile_rows, 200, 20),
    "conversion": Kind(rows.converted_rows, 200, 20),
    "sidecars": Kind(rows.hostile_sidecar, 120, 20),
    "files": Kind(rows.hostile_file, 100, 20),
    "pages": Kind(rows.hostile_page, 40, 20),
    "settings": Kind(settings.hostile_setting, 1000, 20),
    "components": Kind(pipelines.damaged_component, 900, 20),
    "pipelines": Kind(pipelines.damaged_pipeline, 150, 20),
    "stores": Kind(stores.damaged_store, 250, 20),
    "records": Kind(stores.hostile_record, 60, 20),
    "memory": Kind(stores.store_under_limit, 10, 30),
    "docbins": Kind(docbins.crafted_docbin, 380, 20),
    "extractors": Kind(values.hostile_extractor, 50, 20),
    "vectors": Kind(values.vectors_in_files, 40, 20),
    "disks": Kind(disks.full_disk, 20, 30, 90),
    "links": Kind(disks.planted_link, 15, 20),
    "saves": Kind(disks.save_over_other, 10, 30),
    "killed annotate": Kind(kills.killed_annotate, 6, 60, 180),
    "killed worker": Kind(kills.killed_worker, 4, 30, 90),
    "killed pipe": Kind(kills.killed_pipe_worker, 2, 30, 90),
    "killed extract": Kind(kills.killed_extract, 4, 60, 120),
    "killed save": Kind(kills.killed_save, 10, 30),
    "two runs": Kind(kills.two_runs, 3, 60, 120),
    "resumed": Kind(kills.resumed_scores, 2, 60, 120),
    "threads": Kind(kills.threads, 4, 30),
}


def prepare(folder: Path) -> Scene:
    """Make what all cases share, before the process is forked."""
    scene = make_scene(folder)
    fixed_pictures(), bases(), settings.all_cases()
    stores.fill(scene, folder / "store")
    return scene
