"""Imports: no circle of modules, and no torch for what spaCy loads with every pipeline."""

import subprocess
import sys
from graphlib import TopologicalSorter

import grimp
import pytest

import spacy_msvse

LIGHT = (
    "spacy_msvse",
    "spacy_msvse.component.factory",
    "spacy_msvse.display.render",
    "spacy_msvse.doc",
    "spacy_msvse.errors",
    "spacy_msvse.util",
)


def test_no_modules_import_each_other_in_a_circle():
    """Packages count as modules here: none imports a module that imports it."""
    graph = grimp.build_graph("spacy_msvse", exclude_type_checking_imports=True, cache_dir=None)
    imports = {name: graph.find_modules_directly_imported_by(name) for name in graph.modules}
    TopologicalSorter(imports).prepare()  # raises CycleError, which names the modules


def test_only_the_architectures_know_the_methods():
    """So a method of a user is treated like those of this package."""
    graph = grimp.build_graph("spacy_msvse", cache_dir=None)
    methods = graph.find_descendants("spacy_msvse.network.methods")
    assert len(methods) > 10
    importers = {
        importer
        for method in methods
        for importer in graph.find_modules_that_directly_import(method)
    }
    # The second makes the network of the paper without spaCy.
    known = {"spacy_msvse.component.architectures", "spacy_msvse.network.build"}
    assert importers - methods == known


@pytest.mark.parametrize("module", LIGHT)
def test_the_import_of_a_light_module_imports_no_torch(module):
    # spaCy and Thinc import torch themselves where it is installed, so it is hidden from them.
    code = f"""
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "transformers"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import {module}
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_alone_imports_neither_torch_nor_spacy():
    code = "import sys, spacy_msvse; sys.exit(bool({'torch', 'spacy'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_public_names_are_listed_and_can_be_imported():
    assert set(spacy_msvse.__all__) <= set(dir(spacy_msvse))
    for name in spacy_msvse.__all__:
        assert getattr(spacy_msvse, name) is not None
    from spacy_msvse import MsvseError, MsvseNer, calibrate, components

    assert MsvseNer.__module__ == "spacy_msvse.component.pipe"
    assert calibrate.__module__ == "spacy_msvse.evaluation.calibration"
    assert components.__module__ == "spacy_msvse.component"
    assert issubclass(MsvseError, ValueError)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = spacy_msvse.no_such_name


@pytest.mark.parametrize("module", ["spacy_msvse.ray", "spacy_msvse.spark"])
def test_processes_of_engines_that_only_read_and_write_import_no_torch(module):
    code = f"import sys, {module}; sys.exit(bool({{'torch', 'spacy', 'ray'}} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)
