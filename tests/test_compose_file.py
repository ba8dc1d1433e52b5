"""docker-compose.yml, and what it builds and starts, as far as the files say it: valid and closed.

`test_compose.py` runs its services without Docker, `test_docker.py` through a real engine.
"""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from importlib import resources
from importlib.metadata import version

import jsonschema
from command import REPOSITORY
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from services import COMPOSE, PATH, compose

FILE = compose({})
SERVICES = FILE["services"]
PAGES = {"mlflow": "127.0.0.1:5000:5000", "dashboard": "127.0.0.1:8080:8080"}
ONCE = {"roles", "tables", "lockstep"}  # they end, and stay ended


def test_the_file_is_valid() -> None:
    schema = resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    jsonschema.validate(FILE, json.loads(schema.read_text()))


def test_one_image_that_is_built_once() -> None:
    images = [service["image"] for service in SERVICES.values()]
    (ours,) = {image for image in images if not image.startswith("postgres:")}
    (theirs,) = {image for image in images if image.startswith("postgres:")}
    assert ours == f"lockstep:{version('lockstep')}"
    assert [name for name, service in SERVICES.items() if "build" in service] == ["scheduler"]
    for service in SERVICES.values():  # a stranger's image of that name is never fetched
        assert (service["image"] != ours) or service["pull_policy"] == "never"
    assert re.fullmatch(r"postgres:\d+\.\d+", theirs)


def test_the_image_is_pinned_and_its_packages_are_known_by_their_hashes() -> None:
    dockerfile = (REPOSITORY / "Dockerfile").read_text()
    bases = set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) - {"base"}
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base) for base in bases), bases
    assert not re.search(r"^(COPY|ADD)", dockerfile.rsplit("\nFROM ", 1)[1], re.MULTILINE), (
        "what is copied keeps the permissions that the umask gave it"
    )
    installs = re.findall(r"pip install ([^\n&]*)", dockerfile)
    assert installs
    for options in installs:
        assert "--no-deps" in options
        assert "--require-hashes" in options or "/wheel/*.whl" in options
    # The packages are installed before the project is there, so that its edits leave them alone.
    assert dockerfile.index("--require-hashes") < dockerfile.index("COPY")


def test_the_lock_file_has_what_the_project_needs() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["cluster"], "hatchling"]
    locked = re.findall(
        r"^(\S+)==(\S+).*((?:\n    --hash=sha256:[0-9a-f]{64}(?: \\)?)+)",
        (REPOSITORY / "requirements.lock").read_text(), re.MULTILINE,
    )  # fmt: skip
    versions = {canonicalize_name(name): version for name, version, _ in locked}
    for text in needed:
        requirement = Requirement(text)
        locked_version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(locked_version), requirement
    lines = (REPOSITORY / "requirements.lock").read_text().splitlines()
    assert len(locked) == sum("==" in line and line[0] not in " #" for line in lines)
    assert not [line for line in lines if "://" in line]


def test_only_the_pages_are_published_and_on_this_machine_only() -> None:
    published = {
        name: port for name, service in SERVICES.items() for port in service.get("ports", [])
    }
    assert published == PAGES
    other = compose({"MLFLOW_PORT": "5555", "DASHBOARD_PORT": "8888"})["services"]
    assert other["mlflow"]["ports"] == ["127.0.0.1:5555:5000"]
    assert "127.0.0.1:5555" in " ".join(other["mlflow"]["command"]), "an allowed host"
    assert other["lockstep"]["environment"]["LOCKSTEP_UI_ADDRESS"] == "http://127.0.0.1:5555"
    assert other["dashboard"]["ports"] == ["127.0.0.1:8888:8080"]
    for name, service in SERVICES.items():
        networks = set(service.get("networks", []))
        assert ("default" in networks) == (name in PAGES or name == "lockstep"), name
        assert networks <= {"data", "cluster", "default"}
    assert "data" not in SERVICES["worker"]["networks"], "who runs code on a worker has no database"
    assert FILE["networks"]["data"]["internal"]
    assert FILE["networks"]["cluster"]["internal"]


def test_nothing_may_do_more_than_it_needs() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["init"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert "privileged" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
        assert service["pids_limit"] > 0, name
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name
        assert service["restart"] == ("no" if name in ONCE else "unless-stopped"), name


def test_each_service_is_looked_at_by_what_it_needs() -> None:
    for name, service in SERVICES.items():
        if name in ONCE:
            assert "healthcheck" not in service, name
            continue
        check = service["healthcheck"]
        assert check["start_interval"] == "1s", "it starts quickly"
        assert check["interval"] == "30s", "it idles cheaply"
    looked_at = {
        n: " ".join(s["healthcheck"]["test"]) for n, s in SERVICES.items() if n not in ONCE
    }
    assert "SELECT 1" in looked_at["postgres"]
    assert "experiments/search" in looked_at["mlflow"], "/health does not read the database"
    assert "/api/studies" in looked_at["dashboard"]
    assert "http://scheduler:" in looked_at["worker"], "a worker alone is of no use"


def test_no_secret_is_in_the_environment_of_a_container() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            assert not re.search("(?i)passw|secret|token", f"{key}={value}"), name
        for word in (*service.get("entrypoint", []), *service.get("command", [])):
            assert not re.search(r"://\w+:[^@\s]+@", word), name
    assert "PASSWORD" not in (REPOSITORY / ".env.example").read_text()
    for name, secret in FILE["secrets"].items():
        assert secret == {"file": f"./secrets/{name}"}
    ignored = (REPOSITORY / ".gitignore").read_text().splitlines()
    assert {".env", "/secrets/"} <= set(ignored)
    assert (REPOSITORY / ".dockerignore").read_text().splitlines()[0] == "*"


def test_each_service_has_a_role_of_its_own_and_a_database() -> None:
    """Optuna's tables and MLflow's collide."""
    used = {
        name: set(re.findall(r"postgresql\+psycopg://(\w+)@postgres:5432/(\w+)", str(service)))
        for name, service in SERVICES.items()
    }
    assert {name: urls for name, urls in used.items() if urls} == {
        "tables": {("lockstep", "optuna")},
        "lockstep": {("lockstep", "optuna")},
        "dashboard": {("dashboard", "optuna")},
        "mlflow": {("mlflow", "mlflow")},
    }
    given = {
        name: {each if isinstance(each, str) else each["source"] for each in service["secrets"]}
        for name, service in SERVICES.items()
        if "secrets" in service
    }
    assert given == {
        "roles": {"lockstep", "mlflow", "dashboard"},
        "tables": {"lockstep"},
        "lockstep": {"lockstep"},
        "mlflow": {"mlflow"},
        "dashboard": {"dashboard"},
    }


def test_the_settings_are_those_of_the_example() -> None:
    named = set(re.findall(r"\$\{(\w+):", COMPOSE.read_text()))
    example = (REPOSITORY / ".env.example").read_text()
    assert named - {"RUN_AS"} == set(re.findall(r"^#(\w+)=", example, re.MULTILINE))
    assert compose({"WORKERS": "4"})["services"]["worker"]["scale"] == 4
    assert SERVICES["worker"]["scale"] == 2
    assert compose({})["services"]["lockstep"]["environment"]["LOCKSTEP_DATA"] == ""


def test_the_compose_file_names_commands_that_exist() -> None:
    for name in ("tables", "mlflow", "dashboard", "scheduler", "worker"):
        assert shutil.which(SERVICES[name]["command"][0], path=PATH), f"{COMPOSE.name}: {name}"
    assert 'exec lockstep "$@"' in SERVICES["lockstep"]["entrypoint"][2]
