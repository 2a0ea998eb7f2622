"""The links to Binder and Colab name the repository that the pages are built from."""

import pytest

from ubc_lib.book.stage import launch_links, repository

ADDRESS = "https://github.com/someone/study"


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_SERVER_URL", raising=False)
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)

    def write(url: str):
        path = tmp_path / "_config.yml"
        path.write_text(f"repository: {{url: '{url}', branch: main}}")
        return path

    return write


def test_a_copy_that_does_not_know_its_address_says_so(config):
    assert "does not know its address on GitHub" in launch_links(*repository(config("")))


def test_an_action_knows_its_repository(config, monkeypatch):
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "someone/study")
    assert repository(config("")) == (ADDRESS, "main")


def test_the_setting_goes_before_the_action(config, monkeypatch):
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "another/study")
    assert repository(config(ADDRESS + "/")) == (ADDRESS, "main")


def test_every_notebook_has_both_links(tmp_path):
    for name in ("01_cohort", "02_models"):
        (tmp_path / f"{name}.ipynb").touch()
    text = launch_links(ADDRESS, "main", tmp_path)
    for name in ("01_cohort.ipynb", "02_models.ipynb"):
        assert f"mybinder.org/v2/gh/someone/study/main?urlpath=lab/tree/notebooks/{name})" in text
        assert f"colab.research.google.com/github/someone/study/blob/main/notebooks/{name})" in text
    assert f"git clone --quiet {ADDRESS} ubc" in text
