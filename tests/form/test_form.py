"""Answers, good and bad: a bad one is refused at its question, with what to answer instead."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml
from copier.errors import UserMessageError

from drydock.catalogue import Catalogue
from drydock.form import with_defaults
from drydock.questions import QUESTIONS
from tests.support import projects

GPU = {"accelerator": "gpu", "framework": "pytorch"}
ADVANCED = {"advanced": True}

CASES: list[tuple[str, object, object, str, dict]] = [
    # question, an answer that is refused, one that is accepted, what the refusal says, context
    ("project_name", 'my "great" project', "my-great-project", "lower-case", {}),
    ("project_name", "torch", "torch-things", "torch", {}),
    ("description", "two\nlines", 'one line: "quoted" \\ and é', "one line", {}),
    ("workload", "predict", "serve", "train", {}),
    ("accelerator", "tpu", "gpu", "cpu", {}),
    ("framework", "caffe", "pytorch", "scikit-learn", {}),
    ("gpus", ["H 100"], ["A100", "H100"], "H100", GPU),
    ("gpus", ["8.8"], ["8.6"], "8.6", GPU),
    ("driver", "banana", "535.183.01", "580", GPU),
    ("python_version", "3.7", "3.12", "3.13", {}),
    ("platform", "mainframe", "ovh", "docker", {}),
    ("image_name", "ghcr.io/Acme/Forecast", "ghcr.io/acme/forecast", "lower-case", {}),
    ("image_name", "acme/forecast:1", "acme/forecast", "tag", {}),
    ("ci", "jenkins", "none", "github", {}),
    ("extras", ["helm"], ["kubernetes"], "kubernetes", {}),
    ("advanced", "perhaps", True, "advanced", {}),
    ("forward_compat", "perhaps", False, "true", GPU | ADVANCED),
    ("framework_version", "9.9.9", "auto", "auto", ADVANCED),
    ("cuda", "12.7", "auto", "auto", GPU | ADVANCED),
    ("gpu_base", "alpine", "slim", "auto", GPU | ADVANCED),
    ("compile_cuda", "perhaps", True, "true", GPU | ADVANCED),
    ("apt_packages", "libgl1; rm -rf /", "libgl1 ffmpeg", "spaces", ADVANCED),
    ("package_index", "pypi.acme.com", "https://pypi.acme.com/simple", "https://", ADVANCED),
    ("package_index", "https://me:pw@pypi.acme.com/simple", "", "secret", ADVANCED),
    (
        "pytorch_index",
        "download.pytorch.org/whl",
        "https://mirror.acme.com/whl",
        "https://",
        ADVANCED | {"framework": "pytorch"},
    ),
    ("image_mirror", "https://reg.acme.com", "reg.acme.com/proxy", "reg", ADVANCED),
    ("python_mirror", "acme.com/cpython", "https://acme.com/cpython", "https://", ADVANCED),
]
IDS = [f"{case[0]}-{str(case[1])[:12]!r}" for case in CASES]


def test_the_code_knows_the_questions_of_the_form_in_their_order() -> None:
    """What is answered before a question depends on the order (`jinja.answers_before`)."""
    asked = [name for name in projects.form() if name in projects.questions()]
    assert list(QUESTIONS) == asked


def test_the_code_takes_for_granted_what_the_form_has_as_a_default(catalogue: Catalogue) -> None:
    """An answer that is absent means the default, which the form alone spells for these two."""
    complete = with_defaults(catalogue, {})
    for name in ("accelerator", "platform"):
        assert complete[name] == projects.form()[name]["default"]


def test_each_question_has_a_case() -> None:
    assert {case[0] for case in CASES} == projects.questions()


@pytest.mark.parametrize(("question", "bad", "good", "says", "context"), CASES, ids=IDS)
def test_a_bad_answer_is_refused_in_one_line_that_names_its_question(
    template: Path,
    tmp_path: Path,
    question: str,
    bad: object,
    good: object,
    says: str,
    context: dict,
) -> None:
    answers = tmp_path / "answers.yml"
    answers.write_text(yaml.safe_dump(context | {question: bad}))
    words = ("copy", "--trust", "--defaults", "--vcs-ref", "HEAD", "--data-file", answers)
    refused = projects.copier(*words, template, tmp_path / "demo", cwd=tmp_path, check=False)
    assert refused.returncode == 1
    *_, line = refused.stderr.strip().splitlines()
    assert "Traceback" not in refused.stderr
    assert re.match(rf"(\x1b\[[\d;]*m)*{question}: .+", line), refused.stderr
    assert says in line
    assert not (tmp_path / "demo").exists(), "a refused answer leaves nothing behind"


@pytest.mark.parametrize(("question", "bad", "good", "says", "context"), CASES, ids=IDS)
def test_a_good_answer_is_accepted(
    template: Path,
    tmp_path: Path,
    question: str,
    bad: object,
    good: object,
    says: str,
    context: dict,
) -> None:
    folder = projects.generate(template, tmp_path / "demo", **context | {question: good})
    stored = yaml.safe_load((folder / ".copier-answers.yml").read_text())
    assert stored[question] == good


@pytest.mark.parametrize(("question", "bad", "good", "says", "context"), CASES, ids=IDS)
def test_the_prompt_refuses_what_the_command_line_refuses(
    copie, question: str, bad: object, good: object, says: str, context: dict
) -> None:
    """Without --data the check of the question itself decides: the one that shows at a prompt."""
    if isinstance(good, bool):
        pytest.skip("a prompt for yes or no takes nothing else")
    result = copie.copy(extra_answers=context | {question: bad})
    assert isinstance(result.exception, ValueError), result
    assert question in str(result.exception)
    assert says in str(result.exception)


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("H100", ["H100"]),
        ("L4,T4", ["T4", "L4"]),
        ("[T4, L4]", ["T4", "L4"]),
        ("8.6", ["8.6"]),
        ('["RTX 4090", 9.0]', ["RTX 4090", "9.0"]),
        ("", ["any"]),
    ],
)
def test_gpus_are_stored_as_a_list_however_they_are_given(
    template: Path, tmp_path: Path, typed: str, stored: list[str]
) -> None:
    """The list is in the order of the catalogue, so that another order changes no file."""
    folder = projects.generate(template, tmp_path / "demo", **GPU, gpus=typed)
    answers = yaml.safe_load((folder / ".copier-answers.yml").read_text())
    assert answers["gpus"] == stored


@pytest.mark.parametrize(
    ("question", "value", "says"),
    [
        ("description", None, "no value"),
        ("apt_packages", ["libgl1", "ffmpeg"], "one text"),
        ("python_version", 3.1, "in quotes"),
        ("driver", 550.9, "in quotes"),
        ("advanced", [True], "one text"),
        ("gpus", {"H100": 1}, "no GPU"),
        ("gpus", "[H100", "T4, L4"),
    ],
)
def test_what_yaml_makes_of_an_answer_is_refused_in_one_sentence(
    template: Path, tmp_path: Path, question: str, value: object, says: str
) -> None:
    """Where Copier itself would end in a traceback, or take another value than the one meant."""
    with pytest.raises(UserMessageError, match=f"^{question}: .*{says}"):
        projects.generate(template, tmp_path / "demo", **{**GPU, **ADVANCED, question: value})


@pytest.mark.parametrize(
    "folder", ["torch", "My Project", "tests", "9 lives", "json", "é", "a.b_c"]
)
def test_the_name_of_any_folder_gives_a_valid_project_name(
    template: Path, tmp_path: Path, folder: str
) -> None:
    made = projects.generate(template, tmp_path / folder)
    name = yaml.safe_load((made / ".copier-answers.yml").read_text())["project_name"]
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name)
    assert name not in {"torch", "tests", "json"}


def test_every_answer_that_a_test_sends_is_a_question() -> None:
    """`generate` refuses others when it runs; this finds those in calls of Copier and of copie."""
    known = projects.questions()
    for path in (projects.ROOT / "tests").rglob("test_*.py"):
        for call in (
            node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
        ):
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            if name == "generate":
                sent = {word.arg for word in call.keywords if word.arg} - {"lock"}
                assert sent <= known, f"{path.name}:{call.lineno}: {sent - known}"
            for word in call.args:
                if isinstance(word, ast.Constant) and isinstance(word.value, str):
                    data = re.fullmatch(r"--data=(\w+)=.*", word.value)
                    assert not data or data[1] in known, f"{path.name}:{call.lineno}: {word.value}"


def test_extras_that_the_platform_does_not_take_are_refused_and_forgotten(
    template: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserMessageError, match="^extras: .*platform sagemaker.*platform=docker"):
        projects.generate(template, tmp_path / "demo", platform="sagemaker", extras=["kubernetes"])
    folder = projects.generate(template, tmp_path / "demo", platform="sagemaker", extras=[])
    assert "extras" not in yaml.safe_load((folder / ".copier-answers.yml").read_text())
