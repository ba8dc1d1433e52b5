"""What people export for their other work, put right before anything here reads it.

`prepare` changes the environment of this process, which the processes that it starts inherit: the
training processes, and the MLflow server of `lockstep ui`.

Of MLflow's variables, those are honoured everywhere that say how a server or an artifact store is
reached. All others are honoured nowhere: an experiment, a run or a registry that is named for other
work would only redirect a part of what Lockstep writes. A study has its own experiment, and its
models are registered where its runs are. --tracking-uri says where, and MLFLOW_TRACKING_URI if it
is not given.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import warnings
from collections.abc import MutableMapping
from pathlib import Path

from search.errors import LockstepError

_HONOURED = re.compile(
    r"MLFLOW_(TRACKING_(URI|USERNAME|PASSWORD|TOKEN|AUTH|AWS_SIGV4|INSECURE_TLS"
    r"|SERVER_CERT_PATH|CLIENT_CERT_PATH)"
    r"|(HTTP|S3|GCS|BOTO|KERBEROS|PYARROW|MYSQL|SQLALCHEMYSTORE)_\w+"
    r"|(ENABLE_(PROXY_)?)?MULTIPART_\w+|(ARTIFACT_UPLOAD_)?DOWNLOAD_\w*TIMEOUT"
    r"|ALLOW_HTTP_REDIRECTS|ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES"
    r"|ALLOW_PICKLE_DESERIALIZATION|WORKSPACE|DISABLE_TELEMETRY)"
)
_OURS = {
    # An invalid backend, such as a notebook's that is not installed here, would end every import
    # of Matplotlib. Figures are drawn without a window.
    "MPLBACKEND": "agg",
    # A model has nothing to do with the uv project in whose folder a command happens to run.
    "MLFLOW_UV_AUTO_DETECT": "false",
}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def prepare() -> None:
    """Put the environment right. Raises LockstepError if another `core` hides Lockstep's own."""
    _check_own_core()
    drop_foreign(os.environ)
    exempt_loopback(os.environ)
    os.environ.update(_OURS)
    _keep_warnings_harmless()


def drop_foreign(environment: MutableMapping[str, str]) -> None:
    """Remove the variables of MLflow that are not for Lockstep from an environment."""
    for name in list(environment):
        if name.startswith(("MLFLOW_", "_MLFLOW_")) and not _HONOURED.fullmatch(name):
            del environment[name]


def exempt_loopback(environment: MutableMapping[str, str]) -> None:
    """Let no proxy in an environment apply to this machine itself.

    Without a proxy nothing changes, since some systems' own proxies count only if no variable ends
    in _proxy.
    """
    if not any(re.fullmatch("(all|https?)_proxy", name, re.IGNORECASE) for name in environment):
        return
    exempt = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    listed = [each.strip() for each in exempt.split(",") if each.strip()]
    if "*" not in listed:
        listed += [each for each in _LOOPBACK if each not in listed]
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(listed)


def _keep_warnings_harmless() -> None:
    """Let no warning of a package end a command, as PYTHONWARNINGS=error asks for one's own code.

    What a user should know is told in sentences, never as a warning. With PYTHONOPTIMIZE=2, under
    which packages miss their docstrings, MLflow's warnings are silenced.
    """
    if sys.flags.optimize > 1 or any(each.startswith("error") for each in sys.warnoptions):
        sys.warnoptions.clear()  # which processes that are started would be given
        os.environ.pop("PYTHONWARNINGS", None)
        warnings.resetwarnings()
        warnings.simplefilter("ignore")


def _check_own_core() -> None:
    """Raise LockstepError if Python finds another package `core` than the one beside `search`."""
    own = Path(__file__).resolve().parents[1] / "core"
    found = importlib.util.find_spec("core")
    places = [] if found is None else found.submodule_search_locations or [found.origin or ""]
    others = [Path(place).resolve() for place in places]
    if own in others or not others:
        return
    folder = others[0].parent
    raise LockstepError(
        f"{others[0]} hides Lockstep's own package of that name, as {folder} comes first where "
        f"Python looks for packages: take {folder} out of PYTHONPATH (for this command alone: env "
        "-u PYTHONPATH lockstep …)"
    )
