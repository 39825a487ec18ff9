"""Runs that are killed, doubled, changed and out of disk, in the default project with its tools.

The tests of the generated project hold each rule by itself; here it is used as on day two.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import projects

KILLS = int(os.environ.get("DRYDOCK_KILLS", "6"))
# The other frameworks only where somebody asks for kills: each takes minutes.
KILLED = ["scikit-learn"]
if "DRYDOCK_KILLS" in os.environ:
    KILLED += ["pytorch", "jax", "tensorflow", "xgboost"]
LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
sys.argv[0] = "main.py"
runpy.run_path("main.py", run_name="__main__")
"""

# Trains once, then again and again in processes that are killed, and once to the end. The imports,
# which take seconds, are done before: so most kills hit the training.
KILLER = """
import os, random, signal, sys, time
from pathlib import Path
from demo.settings import TrainSettings
from demo.train import train

def start(name, **settings):
    if child := os.fork():
        return child
    for number, end in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"outputs/{name}.{end}", os.O_WRONLY | os.O_CREAT), number)
    try:
        code = train(TrainSettings(**passes, **settings))
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 2
    os._exit(code)

Path("outputs").mkdir()
passes = {"rounds": 60} if "rounds" in TrainSettings.model_fields else {"epochs": 20}
started = time.monotonic()
child, first = start("0-whole", runs_dir="outputs/other"), None
while os.waitpid(child, os.WNOHANG) == (0, 0):
    if first is None and list(Path("outputs/other").glob("*/checkpoints/last-*")):
        first = time.monotonic() - started
    time.sleep(0.01)
whole = time.monotonic() - started
luck, kills, number = random.Random(12), 0, 0
while kills < int(sys.argv[1]):
    number += 1
    child = start(f"1-{number:04}")
    # As often before the first checkpoint, where JAX compiles for seconds, as after it.
    time.sleep(luck.choice((luck.uniform(0, first), luck.uniform(first, (first + whole) / 2))))
    os.kill(child, signal.SIGKILL)
    kills += os.WIFSIGNALED(os.waitpid(child, 0)[1])
os.waitpid(start("2-last"), 0)
"""


@pytest.fixture(scope="module")
def made(template: Path, tmp_path_factory: pytest.TempPathFactory, network: None) -> Path:
    """A project that is locked and installed."""
    folder = tmp_path_factory.mktemp("runs") / "demo"
    projects.generate(template, folder, lock=True)
    projects.run("uv", "sync", "--locked", "--quiet", cwd=folder)
    return folder


@pytest.fixture
def project(made: Path) -> Path:
    """The project as it was made, without outputs."""
    shutil.rmtree(made / "outputs", ignore_errors=True)
    return made


@pytest.fixture
def edit(project: Path) -> Callable[[str, str, str], None]:
    """Change a text of a module, which is undone afterwards."""
    before: dict[Path, str] = {}

    def change(module: str, old: str, new: str) -> None:
        path = project / "src" / "demo" / module
        before.setdefault(path, path.read_text())
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    yield change
    for path, text in before.items():
        path.write_text(text)


def main(project: Path, *flags: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run main.py for two epochs, or as the flags say."""
    words = (project / ".venv/bin/python", "main.py", "--epochs", "2", *flags)
    done = projects.run(*words, cwd=project, check=check, env={"OMP_NUM_THREADS": "1"})
    assert "Traceback" not in done.stderr
    return done


def metrics(output: str) -> list[dict]:
    """The JSON lines of a run."""
    return [json.loads(line) for line in output.splitlines()]


def folders(project: Path) -> list[Path]:
    """The folders of the runs, oldest first."""
    return sorted((project / "outputs/runs").glob("2*"))


def test_a_changed_model_an_added_setting_and_more_epochs_are_other_runs(
    project: Path, edit: Callable[[str, str, str], None]
) -> None:
    first = main(project)
    edit("settings.py", "    seed: int", "    alpha: float = Field(1e-4)\n    seed: int")
    edit("train.py", "settings.learning_rate, settings.seed)", "settings)")
    edit("model.py", "learning_rate: float, seed: int)", "settings)")
    edit(
        "model.py",
        "eta0=learning_rate, random_state=seed",
        "eta0=settings.learning_rate, random_state=settings.seed",
    )
    edit("model.py", 'loss="log_loss",', 'loss="log_loss", alpha=settings.alpha,')
    refused = main(project, "--resume", "--alpha", "100", check=False)
    assert refused.returncode == 1 and refused.stdout == ""
    assert "--alpha is new (100.0)" in refused.stderr
    assert "src/demo/model.py has changed" in refused.stderr
    strong = main(project, "--alpha", "100")
    accuracies = [metrics(run.stdout)[-1]["test_accuracy"] for run in (first, strong)]
    assert accuracies[1] < accuracies[0] - 0.2
    longer = main(project, "--epochs", "3")
    assert [line.get("epoch") for line in metrics(longer.stdout)] == [1, 2, 3, None]
    assert len(folders(project)) == 3


@pytest.mark.parametrize(
    "flags",
    [
        *(("--learning-rate", value) for value in ("0", "-1", "nan", "inf", "1e300")),
        *(("--batch-size", value) for value in ("0", "-1", "1" + "0" * 23)),
        *(("--seed", value) for value in ("-1", "1" + "0" * 23)),
        *(("--epochs", value) for value in ("0", "-1")),
    ],
    ids=" ".join,
)
def test_an_absurd_setting_is_refused_with_a_sentence(project: Path, flags: tuple) -> None:
    refused = main(project, *flags, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert re.fullmatch(rf"{flags[0]} \([A-Z_]+\): Input should be .*\n", refused.stderr)
    assert not (project / "outputs").exists()


def take_the_end_from(run: Path) -> Path:
    """Make a run of two epochs one that goes on after the first. Return the checkpoint of that."""
    about = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(about | {"state": "unfinished"}))
    for path in (run / "checkpoints").glob("*-000000080.zip"):
        path.unlink()
    return (run / "checkpoints/last-000000040.zip").relative_to(run.parents[2])


def test_with_ignored_code_other_parameters_count_and_another_model_is_refused(
    project: Path, edit: Callable[[str, str, str], None]
) -> None:
    """The promises of test_frameworks.py have the like of it for the others."""
    whole = metrics(main(project).stdout)
    path = take_the_end_from(folders(project)[0])
    old = 'SGDClassifier(\n        loss="log_loss", learning_rate="constant", eta0=learning_rate, '
    features = "reshape(len(rows), -1)"
    edit("model.py", "\n\n\n@dataclass", "\nfrom sklearn.neural_network import *\n\n\n@dataclass")
    for text, new, reason in (
        (features, f"{features}[:, 1:]", "ValueError: X has 63 features"),
        (old, "MLPClassifier(\n        ", "ValueError: Invalid parameter"),
    ):
        edit("model.py", text, new)
        refused = main(project, "--resume", "--ignore-code", check=False)
        assert refused.returncode == 1 and refused.stdout == ""
        said = refused.stderr.splitlines()[-1]
        assert said.startswith(f"{path} is no checkpoint of this code ({reason}"), said
        assert said.endswith("): begin a new run with --fresh.")
        edit("model.py", new, text)
    edit("model.py", 'loss="log_loss",', 'loss="log_loss", alpha=100,')
    strong = main(project, "--resume", "--ignore-code")
    assert f"Going on from {path}." in strong.stderr
    assert metrics(strong.stdout)[0]["loss"] > whole[1]["loss"] * 2


def test_a_type_that_no_file_may_bring_is_refused_before_the_training_and_can_be_allowed(
    project: Path, edit: Callable[[str, str, str], None]
) -> None:
    edit(
        "model.py",
        "TRUSTED: list[str] = []",
        "TRUSTED: list[str] = []\n\n\nclass Own(SGDClassifier):\n    pass\n\n",
    )
    edit("model.py", "classifier = SGDClassifier(", "classifier = Own(")
    refused = main(project, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    said = "A file with demo.model.Own could not be read again: add that to TRUSTED in model.py."
    assert refused.stderr.splitlines()[-1] == said
    edit("model.py", "= []", '= ["demo.model.Own"]')
    whole = metrics(main(project).stdout)
    take_the_end_from(folders(project)[-1])
    assert metrics(main(project, "--resume").stdout)[0] == whole[1]
    script = (
        "from demo import model; from pathlib import Path; model.load(Path('outputs/model.skops'))"
    )
    projects.run(project / ".venv/bin/python", "-c", script, cwd=project, env={"PYTHONPATH": "src"})


def test_a_complete_run_is_not_reported_as_a_new_one(project: Path) -> None:
    main(project)
    again = main(project, "--resume")
    assert (again.returncode, again.stdout) == (0, "")
    assert re.search(r"outputs/runs/\S+ is complete: nothing was trained\.", again.stderr)


@pytest.mark.parametrize("name", ["n" * 300 + ".csv", "folder/" * 1000], ids=["name", "path"])
def test_a_name_that_is_too_long_for_a_file_is_a_sentence(project: Path, name: str) -> None:
    for flag in ("--data", "--runs-dir", "--model-path"):
        refused = main(project, flag, name, check=False)
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "File name too long" in refused.stderr.splitlines()[-1], flag


def test_own_tables_and_own_images_are_learnt_from_without_an_edit(project: Path) -> None:
    script = """
from pathlib import Path
from sklearn.datasets import load_digits, load_wine
from PIL import Image

wine = load_wine(as_frame=True)
wine.frame.rename(columns={"target": "cultivar"}).to_csv("wine.csv", index=False)
images, labels = load_digits(return_X_y=True)
for number, (pixels, label) in enumerate(zip(images[:400], labels)):
    folder = Path("images", f"number {label}")
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray((pixels.reshape(8, 8) * 15).astype("uint8")).save(folder / f"{number}.png")
"""
    words = ("uv", "run", "--quiet", "--with", "pillow")
    projects.run(*words, "python", "-c", script, cwd=project)
    wine = main(project, "--data", "wine.csv", "--target", "cultivar", "--epochs", "10")
    assert metrics(wine.stdout)[-1]["test_accuracy"] > 0.9
    refused = main(project, "--data", "images", check=False)
    assert refused.stderr == "images has images: run `uv add pillow` to read them.\n"
    flags = ("main.py", "--epochs", "10", "--data", "images")
    images = projects.run(*words, *flags, cwd=project)
    assert metrics(images.stdout)[-1]["test_accuracy"] > 0.7
    about = json.loads((folders(project)[-1] / "run.json").read_text())
    assert len(about["data"]["files"]) == 400


def test_the_tests_of_a_project_hold_for_a_sample_of_its_own_data(
    project: Path, edit: Callable[[str, str, str], None]
) -> None:
    script = """
from sklearn.datasets import load_iris

load_iris(as_frame=True).frame.to_csv("tests/sample.csv", index=False)
"""
    projects.run(project / ".venv/bin/python", "-c", script, cwd=project)
    edit("settings.py", 'Field("label"', 'Field("target"')
    done = projects.run(
        project / ".venv/bin/python", "-m", "pytest", "-q", "tests/test_train.py", cwd=project
    )
    (project / "tests/sample.csv").unlink()
    assert re.search(r"^\d+ passed", done.stdout, re.MULTILINE), done.stdout


def test_two_trainers_in_one_folder_each_have_a_run(project: Path) -> None:
    words = [project / ".venv/bin/python", "main.py", "--epochs", "20"]
    both = [
        subprocess.Popen(words, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    for process in both:
        out, err = process.communicate()
        assert process.returncode == 0, err.decode()
        assert b"Traceback" not in err
        assert metrics(out.decode())[-1]["test_accuracy"] > 0.9
    assert len(folders(project)) == 2
    assert not list((project / "outputs").rglob(".unfinished-*"))


@pytest.mark.parametrize("limit", [100, 4000, 20_000])
def test_a_full_disk_is_a_sentence(project: Path, limit: int) -> None:
    words = (project / ".venv/bin/python", "-c", LIMITED, str(limit), "--epochs", "2")
    done = projects.run(*words, cwd=project, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert re.search(r"^\S+ cannot be written: File too large\.$", done.stderr, re.MULTILINE)
    assert not any("test_accuracy" in line for line in metrics(done.stdout))


@pytest.mark.parametrize("framework", KILLED)
def test_a_run_that_is_killed_at_random_moments_ends_as_if_it_had_not_been(
    framework: str, answers: dict[str, object], project: Path, template: Path, tmp_path: Path
) -> None:
    """DRYDOCK_KILLS=200 kills it that often, and one of each other framework too."""
    if framework != "scikit-learn":
        project = projects.generate(template, tmp_path / "demo", lock=True, **answers)
        projects.run("uv", "sync", "--locked", "--quiet", cwd=project)
    command = (project / ".venv/bin/python", "-c", KILLER, str(KILLS))
    projects.run(*command, cwd=project, env={"OMP_NUM_THREADS": "1"})
    whole, *killed = sorted(project.glob("outputs/*.out"))
    expected = metrics(whole.read_text())
    assert len(killed) >= KILLS
    for path in killed:
        *lines, _last = (path.read_text() + "\n").split("\n")  # the last may be cut off
        assert all(line in expected for line in map(json.loads, filter(None, lines))), path
        assert "Traceback" not in path.with_suffix(".err").read_text()
    assert metrics(killed[-1].read_text())[-1] == expected[-1]
    complete = 0
    for run in folders(project):
        if not (run / "run.json").exists():  # killed before its first file was there
            assert all(re.match(r"lock$|\.unfinished-", path.name) for path in run.iterdir())
            continue
        about = json.loads((run / "run.json").read_text())
        if about["state"] == "complete":
            complete += 1
            assert metrics((run / "metrics.jsonl").read_text()) == expected
            assert not list(run.rglob(".unfinished-*"))
    assert complete
    resumed = [path for path in project.glob("outputs/*.err") if "Going on" in path.read_text()]
    print(f"{framework}: {KILLS} kills, {complete} complete runs, {len(resumed)} times gone on")
    # A few kills may all come before the first checkpoint; so many show nothing if they do.
    assert resumed or KILLS < 20
