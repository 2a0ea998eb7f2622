import ast

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from ubc_lib.book.notebooks import execute, open_study, read_parameters
from ubc_lib.study.files import ROOT
from ubc_lib.system.errors import InputError

SOURCES = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = {"study": "quick", "settings": "", "cohort_root": ""}


def cells(path, kind="code"):
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == kind]


class TestOpenStudy:
    def test_gives_the_study_with_its_settings(self):
        assert open_study(NAMES | {"settings": "epochs=5"}).epochs == 5

    def test_modules_functions_and_what_ipython_brings_are_no_parameters(self):
        namespace = NAMES | {"pytest": pytest, "execute": execute, "In": [], "_i": "", "Out": {}}
        assert open_study(namespace).name == "quick"

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"stduy": "paper"}, r"'stduy'.*Did you mean 'study'\? Allowed: study, settings"),
            ({"study": "quik"}, "no study 'quik'"),
            ({"study": 3}, "study must be a text, got 3"),
            ({"settings": "epochs=0"}, "epochs: .*greater than 0"),
            ({"model": "resnet43"}, r"'resnet43'.*Did you mean 'resnet34'"),
            ({"seed": -1}, "seed must be a whole number to 4294967295, got -1"),
            ({"seed": 1.5}, r"seed must be a whole number .*got 1\.5"),
            ({"seed": True}, "seed must be a whole number"),
            ({"seed": "1"}, "seed must be a whole number"),
        ],
    )
    def test_what_is_wrong_is_named_with_what_is_allowed(self, changed, message):
        with pytest.raises(InputError, match=message):
            open_study(NAMES | {"model": "resnet34", "seed": 0} | changed, "model", "seed")

    def test_a_parameter_of_another_notebook_is_refused(self):
        with pytest.raises(InputError, match="'seed'"):
            open_study(NAMES | {"seed": 1})


class TestParameters:
    TRAIN = ROOT / "notebooks" / "03_train.ipynb"

    def test_values_get_the_type_of_the_default(self):
        found = read_parameters(self.TRAIN, ["seed=3", "model=resnet34", "settings=epochs=5"])
        assert found == {"seed": 3, "model": "resnet34", "settings": "epochs=5"}

    @pytest.mark.parametrize(
        ("pair", "message"),
        [
            ("sed=3", "'sed'.*Did you mean 'seed'"),
            ("seed=three", "seed .*must be int, got 'three'"),
        ],
    )
    def test_a_wrong_name_or_type_is_refused(self, pair, message):
        with pytest.raises(InputError, match=message):
            read_parameters(self.TRAIN, [pair])


class TestExecute:
    def notebook(self, folder, *sources):
        path = folder / "source.ipynb"
        made = [new_code_cell("x = 1", metadata={"tags": ["parameters"]})]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        made += [new_code_cell(source) for source in sources]
        nbformat.write(new_notebook(cells=made, metadata={"kernelspec": kernel}), path)
        return path

    def test_the_executed_copy_appears_and_the_source_stays_clean(self, tmp_path):
        source = self.notebook(tmp_path, "x + 1")
        before = source.read_text()
        execute(source, tmp_path / "out.ipynb", {"x": 4})
        assert cells(tmp_path / "out.ipynb")[-1].outputs[0].data["text/plain"] == "5"
        assert source.read_text() == before

    def test_a_failure_gives_the_message_and_leaves_an_earlier_copy(self, tmp_path):
        (tmp_path / "out.ipynb").write_text("earlier")
        source = self.notebook(
            tmp_path,
            "from ubc_lib.system.errors import InputError",
            "raise InputError('patient P')",
        )
        with pytest.raises(InputError, match=r"^source\.ipynb: patient P \(Done so far: "):
            execute(source, tmp_path / "out.ipynb", {})
        assert (tmp_path / "out.ipynb").read_text() == "earlier"
        assert (tmp_path / "out.failed.ipynb").is_file()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
class TestSources:
    def test_is_clean(self, path):
        assert not any(cell.outputs or cell.execution_count for cell in cells(path))

    def test_tells_a_story_under_one_title(self, path):
        text = [cell.source for cell in cells(path, "markdown")]
        assert text[0].startswith("# ")
        assert sum(line.startswith("# ") for cell in text for line in cell.splitlines()) == 1

    def test_imports_come_first_then_one_cell_of_literal_parameters(self, path):
        first, second, *rest = cells(path)
        imports = (ast.Import, ast.ImportFrom)
        assert all(isinstance(node, imports) for node in ast.parse(first.source).body)
        assert "parameters" in second.metadata.tags
        for node in ast.parse(second.source).body:
            ast.literal_eval(node.value)
        assert not any("parameters" in cell.metadata.get("tags", []) for cell in rest)

    def test_first_call_checks_the_parameters(self, path):
        assert cells(path)[2].source.startswith("study = open_study(globals()")

    def test_defines_no_functions_and_keeps_cells_short(self, path):
        for cell in cells(path):
            nodes = ast.walk(ast.parse(cell.source))
            assert not any(isinstance(node, ast.FunctionDef | ast.Lambda) for node in nodes)
            assert len(cell.source.splitlines()) <= 16

    def test_pictures_of_patients_are_marked(self, path):
        pictures = ("_grid(", "_gallery(", "slice_explorer(", "LiveExplorer(", "volume_view(")
        for cell in cells(path):
            if any(name in cell.source for name in pictures):
                assert "patient-images" in cell.metadata.get("tags", [])
