from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.trainer.result import Hyperparameters
from core.trainer.softmax import Penalty
from search.errors import StudyFileError
from search.spec.axes import Range
from search.spec.study_file import MAX_FILE_BYTES, find, load
from search.spec.study_spec import StudySpec, differences

REPOSITORY = Path(__file__).parents[3]
MakeSpec = Callable[..., StudySpec]
WriteStudy = Callable[..., Path]

RATE = "learning_rate = { low = 1e-3, high = 1.0, log = true, points = 4 }"
DECAY = "weight_decay = { low = 0.0, high = 0.5, points = 3 }"


def rate(values: str) -> tuple[str, str]:
    return RATE, f"learning_rate = {values}"


def decay(values: str) -> tuple[str, str]:
    return DECAY, f"weight_decay = {values}"


def refusal(path: Path) -> str:
    """The message of a study file that must not load: one sentence of a readable length."""
    with pytest.raises(StudyFileError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    assert message.isprintable()
    assert len(message) < len(str(path)) + 300
    return message


# -- files that load ---------------------------------------------------------------------------


def test_a_study_file(write_study: WriteStudy) -> None:
    spec = load(write_study())
    assert (spec.name, spec.description) == ("small", "a small study")
    assert spec.data.source == "digits"
    assert spec.data.classes == (3, 6)
    assert spec.model.penalty is Penalty.NORM
    assert spec.space.learning_rate == Range(low=1e-3, high=1.0, log=True, points=4)
    assert spec.space.batch_size == (16, 8)
    assert spec.baseline is not None
    assert spec.baseline.hyperparameters() == Hyperparameters(0.001, 0.0001, 16)


@pytest.mark.parametrize("path", sorted((REPOSITORY / "studies").glob("*.toml")), ids=str)
def test_the_studies_that_come_with_lockstep_load(path: Path) -> None:
    spec = load(path)
    assert spec.name == path.stem
    assert spec.baseline is not None


def test_what_may_be_left_out(tmp_path: Path) -> None:
    path = tmp_path / "least.toml"
    path.write_text(
        'name = "least"\ndata.source = "digits"\n[space]\nlearning_rate = [1]\n'
        "weight_decay = [0]\nbatch_size = [1]\n"
    )
    spec = load(path)
    assert spec.data.classes is None
    assert spec.data.validation_fraction == 0.2
    assert (spec.model.penalty, spec.model.epochs) == (Penalty.NORM, 100)
    assert (spec.search.sampler, spec.search.objective) == ("grid", "val_loss")
    assert spec.search.trials is None
    assert spec.baseline is None
    assert spec.space.learning_rate == (1.0,)
    assert type(spec.space.learning_rate[0]) is float


# -- mistakes ----------------------------------------------------------------------------------

LONG = 10_000
MISTAKES: list[tuple[tuple[str, str], tuple[str, ...]]] = [
    # syntax
    (("[model]", "[model"), ("not valid TOML", "line ")),
    (("epochs = 5", "epochs ="), ("not valid TOML", "line ")),
    (("epochs = 5", "epochs = 5\nepochs = 6"), ("not valid TOML", "line ")),
    # unknown keys
    (("[model]", "[modell]"), ("unknown key modell", "did you mean model?", "baseline")),
    (("epochs = 5", "epoch = 5"), ("unknown key model.epoch = 5", "did you mean epochs?")),
    (("points = 4", "pionts = 4"), ("space.learning_rate.pionts = 4", "did you mean points?")),
    (("batch_size = [16, 8]", "batchsize = [16, 8]"), ("space.batchsize", "mean batch_size?")),
    (("seed = 0\n[baseline]", "sead = 0\n[baseline]"), ("search.sead = 0", "did you mean seed?")),
    (("[baseline]", "[baseline]\nxyz = 1"), ("baseline.xyz = 1", "Known here: learning_rate")),
    (("name =", 'x = """a\nb"""\nname ='), ("unknown key x", r"'a\nb'")),
    (("name =", '"a\\nb" = 1\nname ='), (r"unknown key a\nb = 1",)),
    (("name =", f'"{"k" * LONG}" = 1\nname ='), ("unknown key kkkk",)),
    (("name =", f'x = "{"v" * LONG}"\nname ='), ("unknown key x", "'vvvv", "…")),
    (("name =", "range = 1\nname ="), ("unknown key range = 1",)),
    (("epochs = 5", "values = 5"), ("unknown key model.values = 5",)),
    # keys that are missing
    (('name = "small"', ""), ("name is missing",)),
    ((RATE, ""), ("space.learning_rate is missing",)),
    (("high = 1.0, ", ""), ("space.learning_rate.high is missing",)),
    (("learning_rate = 0.001", ""), ("baseline.learning_rate is missing",)),
    # types
    (('"small"', "3"), ("name = 3", "text in quotes")),
    (('"a small study"', "1979-05-27"), ("description = ", "1979", "text in quotes")),
    (("epochs = 5", 'epochs = "5"'), ("model.epochs = '5'", "give a whole number")),
    (("epochs = 5", "epochs = 5.0"), ("model.epochs = 5.0", "give a whole number")),
    (("epochs = 5", "epochs = true"), ("model.epochs = true", "give a whole number")),
    (("low = 1e-3", 'low = "0.1"'), ("space.learning_rate.low = '0.1'", "give a number")),
    (("low = 1e-3", "low = true"), ("space.learning_rate.low = true", "give a number")),
    (("log = true", "log = 1"), ("space.learning_rate.log = 1", "give true or false")),
    (rate('[0.1, "0.2"]'), ("space.learning_rate.1 = '0.2'", "give a number")),
    (rate("[0.1, true]"), ("space.learning_rate.1 = true", "give a number")),
    (rate("[[0.1]]"), ("space.learning_rate.0 = [0.1]", "give a number")),
    (rate("0.1"), ("space.learning_rate = 0.1", "give a list")),
    (rate('"0.1"'), ("space.learning_rate = '0.1'", "give a list")),
    (("[16, 8]", "16"), ("space.batch_size = 16", "give a list")),
    (("[16, 8]", "[16.0]"), ("space.batch_size.0 = 16.0", "give a whole number")),
    (("[16, 8]", '["16"]'), ("space.batch_size.0 = '16'", "give a whole number")),
    (("[16, 8]", "{ low = 8, high = 16 }"), ("space.batch_size: a stack", "list the sizes")),
    (("[3, 6]", '"36"'), ("data.classes = '36'", "give a list")),
    (("[3, 6]", "[3, true]"), ("data.classes.1 = true",)),
    (("[3, 6]", "[3, 6.0]"), ("data.classes.1 = 6.0",)),
    (("[3, 6]", '[3, "a\\nb"]'), (r"data.classes.1 = 'a\nb'",)),
    # values
    (("low = 1e-3", "low = nan"), ("space.learning_rate.low = nan", "give a finite number")),
    (("high = 1.0", "high = inf"), ("space.learning_rate.high = inf", "give a finite number")),
    (rate("[0.1, nan]"), ("space.learning_rate.1 = nan", "give a finite number")),
    (("low = 1e-3", "low = 2"), ("space.learning_rate: low = 2", "less than high = 1")),
    (("low = 1e-3", "low = 1"), ("space.learning_rate: low = 1", "less than high = 1")),
    (("low = 1e-3", "low = 0"), ("space.learning_rate: low = 0", "log range", "above 0")),
    (("points = 3", "points = 3, log = true"), ("space.weight_decay: low = 0", "log range")),
    (rate("{ low = 0, high = 1, points = 2 }"), ("learning_rate: low = 0", "greater than 0")),
    (rate("[0.1, 0]"), ("space.learning_rate.1 = 0", "greater than 0")),
    (rate("[0.1, 1e7]"), ("space.learning_rate.1 = 10000000.0", "1000000")),
    (("high = 1.0", "high = 1e300"), ("space.learning_rate", "1e+300")),
    (("high = 0.5", "high = 1e300"), ("space.weight_decay", "1e+300")),
    (("low = 0.0", "low = -0.1"), ("space.weight_decay: low = -0.1", "not be negative")),
    (decay("[-0.1]"), ("space.weight_decay.0 = -0.1", "greater than or equal to 0")),
    (("points = 4", "points = 1"), ("space.learning_rate.points = 1", "2")),
    (("points = 4", "points = 10001"), ("space.learning_rate.points = 10001", "10000")),
    (rate("[]"), ("space.learning_rate = []", "at least 1")),
    (("[16, 8]", "[]"), ("space.batch_size = []", "at least 1")),
    (("[16, 8]", "[0]"), ("space.batch_size.0 = 0", "greater than or equal to 1")),
    (("[16, 8]", "[16, 8, 16]"), ("space.batch_size: 16 is listed twice", "once")),
    (rate("[0.1, 1, 1.0]"), ("space.learning_rate: 1.0 is listed twice",)),
    (("[3, 6]", "[3]"), ("data.classes = [3]", "at least 2")),
    (("[3, 6]", "[]"), ("data.classes = []", "at least 2")),
    (("[3, 6]", "[3, 6, 3]"), ("data.classes: 3 is listed twice",)),
    (('"digits"', '""'), ("data.source = ''", "at least 1")),
    (('"digits"', '"a\\u0000b"'), ("data.source = 'a\\x00b'", "one line")),
    (("= 0.25", "= 1"), ("data.validation_fraction = 1", "less than 1")),
    (("= 0.25", "= 0.0"), ("data.validation_fraction = 0.0", "greater than 0")),
    (("epochs = 5", "epochs = 0"), ("model.epochs = 0", "greater than or equal to 1")),
    (("seed = 0", "seed = -1"), ("data.seed = -1", "greater than or equal to 0")),
    (("seed = 0", "seed = 4294967296"), ("data.seed = 4294967296", "less than 4294967296")),
    (('"norm"', '"l1"'), ("model.penalty = 'l1'", "'norm' or 'squared'")),
    (('"grid"', '"gird"'), ("search.sampler = 'gird'", "'grid'", "'tpe'")),
    (('"val_loss"', '"loss"'), ("search.objective = 'loss'", "'val_accuracy'")),
    (("description = ", f'description = "{"x" * 501}" #'), ("description = 'xxx", "500")),
    (("description = ", 'description = "\\u001b[2J" #'), ("description = '\\x1b[2J'", "one line")),
    # numbers that no machine number holds
    (("epochs = 5", f"epochs = {'9' * 400}"), ("model.epochs = 999", "100000")),
    (("epochs = 5", f"epochs = {'9' * LONG}"), ("not valid TOML", "digits")),
    (("epochs = 5", f"epochs = 0x{'9' * LONG}"), ("model.epochs",)),
    (("low = 1e-3", f"low = {'9' * 400}"), ("space.learning_rate.low = 999", "number")),
    (("low = 1e-3", f"low = 0x{'9' * LONG}"), ("space.learning_rate.low",)),
    (("low = 1e-3", "low = 1e-400"), ("space.learning_rate: low = 0", "above 0")),
    (("name =", f"x = 0o{'7' * LONG}\nname ="), ("unknown key x",)),
    # one table contradicts another
    ((", points = 4", ""), ("space.learning_rate.points is missing", "grid")),
    ((", points = 3", ""), ("space.weight_decay.points is missing", "grid")),
    (('"grid"', '"grid"\ntrials = 9'), ("search.trials = 9", "leave trials out")),
    (('"grid"', '"tpe"'), ("search.trials is missing", '"tpe"')),
    (('"grid"', '"random"\ntrials = 0'), ("search.trials = 0", "greater than or equal to 1")),
    (('"grid"', '"qmc"'), ("search.trials is missing", '"qmc"', "epochs or minutes")),
    (('"grid"', '"grid"\nepochs = 9'), ("search.epochs = 9", "leave epochs out")),
    (('"grid"', '"grid"\nminutes = 9'), ("search.minutes = 9", "leave minutes out")),
    (('"grid"', '"grid"\ncohort = 9'), ("search.cohort = 9", "a grid is one cohort")),
    (('"grid"', '"tpe"\nminutes = 0'), ("search.minutes = 0", "greater than 0")),
    (('"grid"', '"tpe"\nepochs = 4'), ("search.epochs = 4", "one trial alone takes 5")),
    (('"grid"', '"tpe"\nepochs = 9\nreplicates = 2'), ("search.epochs = 9", "takes 10")),
    (('"grid"', '"tpe"\ntrials = 4\nfinalists = 5'), ("search.finalists = 5", "only 4 trials")),
    (('"grid"', '"grid"\nreplicates = 0'), ("search.replicates = 0",)),
    (('"grid"', '"grid"\nfinalists = -1'), ("search.finalists = -1",)),
    (('"grid"', '"grid"\npruner = "asha"'), ("search.pruner = 'asha'", "'halving'")),
    (('"grid"', '"grid"\nreduction = 3'), ("search.reduction = 3", "nothing is pruned")),
    (('"grid"', '"grid"\nmin_epochs = 3'), ("search.min_epochs = 3", "nothing is pruned")),
    (('"grid"', '"grid"\npruner = "halving"\nreduction = 1'), ("search.reduction = 1", "2")),
    (('"grid"', '"grid"\npruner = "halving"\nmin_epochs = 5'), ("min_epochs = 5", "epochs = 5")),
    (("seed = 0", "seed = [0]"), ("data.seed = [0]", "give a whole number")),
    (("[baseline]", "[[baseline]]"), ("baseline = [", "give a table")),
    (("learning_rate = 0.001", "learning_rate = 0"), ("baseline.learning_rate = 0", "than 0")),
]


@pytest.mark.parametrize(
    ("change", "told"), MISTAKES, ids=[change[1][:40].strip() for change, _ in MISTAKES]
)
def test_a_mistake_is_told_in_one_sentence(
    write_study: WriteStudy, change: tuple[str, str], told: tuple[str, ...]
) -> None:
    message = refusal(write_study(change))
    for part in told:
        assert part in message


@pytest.mark.parametrize(
    "name",
    ["../x", "a/b", "/etc", "a\\\\b", ".", "..", ".hidden", "-x", "Small", "a b", "", "é", "²"]
    + ["a\\u0007", "a\\n", "\\u0000", "x" * 65, "x" * LONG],
)
def test_a_name_that_is_no_name(write_study: WriteStudy, name: str) -> None:
    message = refusal(write_study(('"small"', f'"{name}"')))
    assert "name = '" in message
    assert "lower-case letters, digits" in message


@pytest.mark.parametrize("name", ["a", "0", "mnist-3v6", "a.b_c-d", "x" * 64])
def test_names(make_spec: MakeSpec, name: str) -> None:
    assert make_spec(('"small"', f'"{name}"')).name == name


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xff\xfe", "not UTF-8 at byte 0: save it as UTF-8"),
        (b'name = "\xe9"', "not UTF-8 at byte 8: save it as UTF-8"),
        (b"#" * (MAX_FILE_BYTES + 1), "larger than 1 MiB"),
        (b"x = " + b"[" * 5000, "not valid TOML"),
        (b"x = " + b"{a=" * 5000, "not valid TOML"),
        (b"", "name is missing"),
        (b"\x00", "not valid TOML"),
    ],
    ids=["utf-16", "latin-1", "too large", "deep lists", "deep tables", "empty", "nul"],
)
def test_a_file_that_is_no_study(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(content)
    assert told in refusal(path)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.toml")
    assert "directory" in refusal(tmp_path)


def test_a_file_of_exactly_the_largest_size_loads(tmp_path: Path, write_study: WriteStudy) -> None:
    content = write_study().read_bytes()
    path = tmp_path / "large.toml"
    path.write_bytes(content + b"#" * (MAX_FILE_BYTES - len(content)))
    assert load(path).name == "small"


# -- garbage -----------------------------------------------------------------------------------

KEYS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["name", "data", "model", "space", "search", "baseline", "range", "values", "low", "high"]
        + ["log", "points", "learning_rate", "batch_size", "epochs", "seed", "penalty", "trials"]
    ),
)
SCALARS = st.one_of(
    st.integers(),
    st.integers(10**30, 10**40),
    st.floats(),
    st.booleans(),
    st.text(max_size=80),
    st.dates(),
    st.datetimes(),
    st.times(),
    st.sampled_from(["digits", "grid", "tpe", "norm", 0, 1, -1, 1e-3]),
)
VALUES = st.recursive(
    SCALARS,
    lambda each: st.one_of(st.lists(each, max_size=4), st.dictionaries(KEYS, each, max_size=4)),
    max_leaves=6,
)


def toml(value: Any) -> str:
    """A value as inline TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = (f"\\U{ord(c):08x}" if c in '"\\' or not c.isprintable() else c for c in value)
        return f'"{"".join(escaped)}"'
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(each)}" for key, each in value.items()) + "}"
    return str(value)


def places(table: dict[str, Any], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every key, at every depth."""
    found = []
    for key, value in table.items():
        found.append((*prefix, key))
        if isinstance(value, dict):
            found += places(value, (*prefix, key))
    return found


@settings(max_examples=400)
@given(data=st.data())
def test_garbage_anywhere_loads_or_is_told_in_one_sentence(
    write_study: WriteStudy, data: st.DataObject
) -> None:
    path = write_study()
    table = tomllib.loads(path.read_text())
    *parents, key = data.draw(st.sampled_from(places(table)))
    inner = table
    for parent in parents:
        inner = inner[parent]
    if data.draw(st.booleans()):
        key = data.draw(KEYS)  # a key of its own beside it
    inner[key] = data.draw(VALUES)
    path.write_text("\n".join(f"{toml(k)} = {toml(v)}" for k, v in table.items()))
    try:
        load(path)
    except StudyFileError:
        refusal(path)


@given(content=st.binary(max_size=200))
def test_any_bytes_are_told_in_one_sentence(write_study: WriteStudy, content: bytes) -> None:
    path = write_study()
    path.write_bytes(content)
    refusal(path)


# -- digest and differences --------------------------------------------------------------------


def test_digest_does_not_depend_on_the_order_of_keys(
    make_spec: MakeSpec, write_study: WriteStudy
) -> None:
    spec = make_spec()
    path = write_study()

    def turned(table: dict[str, Any]) -> dict[str, Any]:
        return {
            key: turned(value) if isinstance(value, dict) else value
            for key, value in reversed(table.items())
        }

    table = turned(tomllib.loads(path.read_text()))
    path.write_text("\n".join(f"{key} = {toml(value)}" for key, value in table.items()))
    assert load(path) == spec
    assert load(path).digest() == spec.digest()
    assert re.fullmatch("[0-9a-f]{64}", spec.digest())


def test_digest_does_not_depend_on_how_a_number_is_written(make_spec: MakeSpec) -> None:
    assert make_spec(("high = 1.0", "high = 1")).digest() == make_spec().digest()
    assert make_spec(("= 1e-3", "= 0.00_1")).digest() == make_spec().digest()


def test_digest_golden(make_spec: MakeSpec) -> None:
    # Computed when this was written: a change of it makes every stored study another one.
    assert (
        make_spec().digest() == "838df9792416bd09f96506b756c2bfc897b2262f31600787c8da7a4de62b82ba"
    )


DEFINING = [
    ('"digits"', '"mnist"', "data.source"),
    ("[3, 6]", "[6, 3]", "data.classes"),
    ("[3, 6]", '["3", "6"]', "data.classes"),
    ("= 0.25", "= 0.26", "data.validation_fraction"),
    ("seed = 0", "seed = 1", "data.seed"),
    ('"norm"', '"squared"', "model.penalty"),
    ("epochs = 5", "epochs = 6", "model.epochs"),
    ("epochs = 5\nseed = 0", "epochs = 5\nseed = 1", "model.seed"),
    ("low = 1e-3", "low = 2e-3", "space.learning_rate.low"),
    ("high = 1.0", "high = 1.5", "space.learning_rate.high"),
    ("log = true", "log = false", "space.learning_rate.log"),
    ("points = 4", "points = 5", "space.learning_rate.points"),
    ("high = 0.5", "high = 0.6", "space.weight_decay.high"),
    ("[16, 8]", "[16, 4]", "space.batch_size"),
    ('"grid"', '"random"\ntrials = 24', "search.sampler"),
    ('"val_loss"', '"val_accuracy"', "search.objective"),
    ('"val_loss"', '"val_loss"\npruner = "halving"', "search.pruner"),
    ('"val_loss"', '"val_loss"\nreplicates = 2', "search.replicates"),
    ('"val_loss"\nseed = 0', '"val_loss"\nseed = 1', "search.seed"),
]


@pytest.mark.parametrize(("old", "new", "key"), DEFINING, ids=[each[2] for each in DEFINING])
def test_what_defines_a_study(make_spec: MakeSpec, old: str, new: str, key: str) -> None:
    before, after = make_spec(), make_spec((old, new))
    assert before.digest() != after.digest()
    changes = differences(before.defining(), after.defining())
    assert len(changes) == 1
    assert changes[0].startswith(f"{key}: ")


def test_every_defining_key_is_among_those_tested(make_spec: MakeSpec) -> None:
    def leaves(table: dict[str, Any], prefix: str = "") -> set[str]:
        return {
            leaf
            for key, value in table.items()
            for leaf in (
                leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key}
            )
        }

    alike = {f"space.weight_decay.{key}" for key in ("low", "log", "points")}
    tested = {key for *_, key in DEFINING} | alike
    # The cohort of a grid is the grid; the others are left out while they have their defaults.
    later = {"search.pruner", "search.replicates"}
    assert leaves(make_spec().defining()) == tested - later | {"search.cohort"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"random"\ntrials = 9', '"random"\ntrials = 9\ncohort = 33'),
        ('"grid"\npruner = "halving"', '"grid"\npruner = "halving"\nreduction = 2'),
        ('"grid"\npruner = "halving"', '"grid"\npruner = "halving"\nmin_epochs = 2'),
    ],
)
def test_what_defines_a_sampled_or_pruned_study(
    make_spec: MakeSpec, before: str, after: str
) -> None:
    old, new = (make_spec(('"grid"', text)) for text in (before, after))
    (change,) = differences(old.defining(), new.defining())
    assert change.startswith("search.")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"small"', '"other"'),
        ('"a small study"', '"another description"'),
        ("learning_rate = 0.001", "learning_rate = 0.002"),
        ("[baseline]\nlearning_rate = 0.001\nweight_decay = 0.0001\nbatch_size = 16", ""),
    ],
)
def test_what_may_change_under_a_running_study(make_spec: MakeSpec, old: str, new: str) -> None:
    before, after = make_spec(), make_spec((old, new))
    assert before != after
    assert before.digest() == after.digest()
    assert differences(before.defining(), after.defining()) == []


@pytest.mark.parametrize("more", ["epochs = 10", "minutes = 0.5", "finalists = 3"])
def test_the_budget_and_the_finalists_may_change(make_spec: MakeSpec, more: str) -> None:
    some = make_spec(('"grid"', '"tpe"\ntrials = 10'))
    other = make_spec(('"grid"', f'"tpe"\ntrials = 20\n{more}'))
    assert some.digest() == other.digest()


def test_cmaes_needs_a_range(write_study: WriteStudy) -> None:
    change = ('"grid"', '"cmaes"\ntrials = 9')
    message = refusal(write_study(change, rate("[0.1, 1]"), decay("[0.1, 1]")))
    assert "cmaes" in message
    assert "range" in message
    assert load(write_study(change, decay("[0.1, 1]"))).search.sampler == "cmaes"


def test_differences_say_what_was_and_what_is(make_spec: MakeSpec) -> None:
    before = make_spec().defining()
    after = make_spec(
        ("epochs = 5", "epochs = 6"), ("classes = [3, 6]", ""), rate("[0.1, 0.2]")
    ).defining()
    assert differences(before, after) == [
        "data.classes: [3, 6] → null",
        "model.epochs: 5 → 6",
        "space.learning_rate: null → [0.1, 0.2]",
        "space.learning_rate.high: 1.0 → null",
        "space.learning_rate.log: true → null",
        "space.learning_rate.low: 0.001 → null",
        "space.learning_rate.points: 4 → null",
    ]
    assert differences(after, after) == []


# -- files beside it ---------------------------------------------------------------------------


def test_a_data_file_beside_the_study_file(tmp_path: Path, write_study: WriteStudy) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    path = folder / "study.toml"
    path.write_text(write_study(('"digits"', '"features.npz"')).read_text())
    assert load(path).source() == "features.npz", "not there: left to the working directory"
    (folder / "features.npz").touch()
    assert load(path).source() == str(folder / "features.npz")
    path.write_text(write_study(('"digits"', f'"{folder}/features.npz"')).read_text())
    assert load(path).source() == str(folder / "features.npz")
    (folder / "digits").touch()
    path.write_text(write_study().read_text())
    assert load(path).source() == "digits", "a name of a data set is no file"


def test_the_folder_of_a_study_file_does_not_define_it(
    tmp_path: Path, write_study: WriteStudy
) -> None:
    path = tmp_path / "study.toml"
    path.write_text(write_study().read_text())
    assert load(path).digest() == load(write_study()).digest()


def test_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyFileError, match="'mine': no such study file; give the path"):
        find("mine")
    (tmp_path / "studies").mkdir()
    for name in ("mine", "other"):
        (tmp_path / "studies" / f"{name}.toml").touch()
    assert find("mine") == Path("studies/mine.toml")
    assert find("studies/mine.toml") == Path("studies/mine.toml")
    assert find(str(tmp_path / "studies" / "mine.toml")).is_absolute()
    (tmp_path / "mine").mkdir()
    assert find("mine") == Path("studies/mine.toml"), "a folder is no study file"


@pytest.mark.parametrize(
    "study", ["none", "../studies/mine", "a/b", "", ".", "x" * 5000, "a\0b", "a\nb"]
)
def test_find_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, study: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine.toml").touch()
    with pytest.raises(StudyFileError) as caught:
        find(study)
    assert re.search("no such study file; in studies/ there are: mine", str(caught.value))
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 200
