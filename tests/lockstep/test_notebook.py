"""The notebook in studies/ runs in a kernel of Jupyter's, and shows what it says."""

from __future__ import annotations

from typing import Any

import nbformat
import pytest
from command import HUNG, REPOSITORY, environment
from nbclient import NotebookClient

pytestmark = pytest.mark.xdist_group("notebook")  # so that one kernel runs all

NOTEBOOK = REPOSITORY / "studies" / "digits.ipynb"


# An interrupt stops the launch safely, and the next call continues; the plots of the notebook's own
# are still shown in it. Nobody looks at the figures of this study, so they are left blank.
INTERRUPTED = [
    f"import sys\nsys.path.append({str(REPOSITORY / 'tests')!r})\n"
    "import blank_figures\n"
    "blank_figures.use()\n"
    "import os, signal, threading, time\n"
    "import lockstep\n"
    "from sklearn.datasets import load_digits\n"
    "X, y = load_digits(n_class=2, return_X_y=True)\n"
    "study = lockstep.Study('long', X / 16, y, epochs=1, weight_decay=[0], batch_size=[4],\n"
    "                       learning_rate=lockstep.log(1e-3, 1, 15))\n"
    "def interrupt():\n"
    "    while not os.path.exists('runs/long/study.journal') or b'lockstep.result' not in (\n"
    "        open('runs/long/study.journal', 'rb').read()):\n"
    "        time.sleep(0.01)\n"
    "    os.kill(os.getpid(), signal.SIGINT)\n"
    "threading.Thread(target=interrupt).start()\n"
    "try:\n"
    "    study.launch()\n"
    "except KeyboardInterrupt as error:\n"
    "    stopped = str(error)\n",
    "stopped",
    "len(study.launch(verbose=False).trials)",
    "import matplotlib.pyplot\nmatplotlib.get_backend()",
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    """The outputs of each of its cells of code, and then of those of `INTERRUPTED`, from one
    kernel: starting it and importing everything takes most of the time."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "it is kept without outputs"
    notebook.cells += [nbformat.v4.new_code_cell(each) for each in INTERRUPTED]
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("JPY_PARENT_PID", "")
        monkeypatch.delenv("MPLBACKEND", raising=False)  # The kernel is to choose it.
        NotebookClient(
            notebook, timeout=HUNG, kernel_name="python3", resources={"metadata": {"path": folder}}
        ).execute()
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def shown(outputs: list[Any], kind: str) -> str:
    """What a cell's result is, as this kind of text."""
    (result,) = [each for each in outputs if each.output_type == "execute_result"]
    return str(result.data[kind])


def printed(outputs: list[Any], name: str) -> str:
    return "".join(each.text for each in outputs if each.get("name") == name)


def test_it_goes_from_arrays_to_a_registered_model(outputs: list[list[Any]]) -> None:
    outputs = outputs[: -len(INTERRUPTED)]
    assert "".join(printed(each, "stderr") for each in outputs) == ""
    launched = next(each for each in outputs if "Study digits-notebook" in printed(each, "stdout"))
    assert "36/36 trials, best val_loss" in printed(launched, "stdout")
    assert "100% |" in printed(launched, "stdout"), "a bar"
    assert shown(launched, "text/plain").startswith("36 trials (36 completed)")
    assert shown(launched, "text/html").count("data:image/png;base64,") == 2
    retrained = next(each for each in outputs if "models:/digits-n" in printed(each, "stdout"))
    assert "LockstepClassifier" in shown(retrained, "text/plain")
    again, accuracy = eval(shown(outputs[-1], "text/plain"))
    assert again > 0.95
    assert accuracy > 0.9


def test_an_interrupted_cell_goes_on(outputs: list[list[Any]]) -> None:
    _, stopped, rest, backend = outputs[-len(INTERRUPTED) :]
    assert shown(stopped, "text/plain") == (
        "'stopped. Finished trials are kept; the same call continues.'"
    )
    assert shown(rest, "text/plain") == "15"
    assert "inline" in shown(backend, "text/plain")
