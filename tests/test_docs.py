"""README says what is true: its commands, options, study file, and the output that it shows."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import click
import pytest
from command import REPOSITORY, lockstep, python_script
from layered import beside_layers
from sklearn.datasets import load_wine

from search.cli import cli
from search.spec.study_file import load

README = (REPOSITORY / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
STUDIES = sorted((REPOSITORY / "studies").glob("*.toml"))


def test_ci_runs_the_test_command() -> None:
    """The same steps as README's one line."""
    (line,) = [text for kind, text in BLOCKS if not kind and "pytest" in text]
    script = (REPOSITORY / ".ci" / "run").read_text()
    for step in line.strip().split(" && "):
        assert step in script, step


@pytest.mark.parametrize("command", sorted(cli.commands))
def test_every_command_and_option_is_explained(command: str) -> None:
    takes_study = any(each.name == "study" for each in cli.commands[command].params)
    assert f"`lockstep {command}{' STUDY' if takes_study else '`'}" in README
    assert cli.commands[command].help
    for parameter in cli.commands[command].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
            names = (*parameter.opts, *parameter.secondary_opts)
            assert any(f"`{name}" in README for name in names), names


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_study_files_load_and_bear_their_names(path: Path, tmp_path: Path) -> None:
    assert load(beside_layers(path, tmp_path)).name == path.stem
    assert f"studies/{path.name}" in README
    assert path.read_text().startswith("# "), "each one says what it is for"


def test_the_study_file_shown_loads(tmp_path: Path) -> None:
    (text,) = [text for kind, text in BLOCKS if kind == "toml"]
    path = tmp_path / "shown.toml"
    path.write_text(text)
    assert load(path).name == "my-probe"


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (REPOSITORY / target).exists(), target


def _masked(text: str) -> list[str]:
    text = re.sub(r"\d+(\.\d+)? s\b", "… s", text)
    text = re.sub(r"\d+ training process(es)?", "… training processes", text)
    text = re.sub(r"(?m)^  home    /.*/runs\b", "  home    …/runs", text)
    return [line.rstrip() for line in text.strip().splitlines()]


def test_the_output_shown_is_what_is_printed(tmp_path: Path) -> None:
    (shown,) = [text for kind, text in BLOCKS if kind == "text" and text.startswith("Study")]
    shutil.copytree(REPOSITORY / "studies", tmp_path / "studies")
    finished = lockstep("launch", "studies/digits-3v6.toml", cwd=tmp_path, warm_children=True)
    assert finished.code == 0, finished.err
    printed = [line for line in _masked(finished.out) if not re.match(r"\d+/\d+ trials", line)]
    expected = [line for line in _masked(shown) if not re.match(r"\d+/\d+ trials", line)]
    assert printed == expected


def test_what_init_is_shown_to_find(tmp_path: Path) -> None:
    """On scikit-learn's wine, as a table whose last column has the labels."""
    bunch = load_wine(as_frame=True)
    table = bunch.data.assign(cultivar=bunch.target_names[bunch.target])
    table.to_csv(tmp_path / "wines.csv", index=False)
    (shown,) = [text for kind, text in BLOCKS if kind == "text" and text.startswith("wines.csv")]
    finished = lockstep("init", "wines.csv", cwd=tmp_path)
    assert finished.code == 0, finished.err
    assert finished.out.startswith(shown)


def test_what_is_shown_of_python(tmp_path: Path) -> None:
    (script,) = [text for kind, text in BLOCKS if kind == "python"]
    (shown,) = [text for kind, text in BLOCKS if kind == "text" and text.startswith("[")]
    (tmp_path / "shown.py").write_text(script)
    finished = python_script(tmp_path / "shown.py", cwd=tmp_path, warm_children=True)
    assert finished.code == 0, finished.err
    assert finished.out.splitlines()[-1] == shown.strip()
    assert (tmp_path / "runs" / "probe" / "study.toml").is_file()


def test_help_is_quick_and_teaches() -> None:
    finished = lockstep("--help", cwd=REPOSITORY)
    assert finished.code == 0
    assert "lockstep launch digits-3v6" in finished.out
    assert "lockstep init my.csv" in finished.out
