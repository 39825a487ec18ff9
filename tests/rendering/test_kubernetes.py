"""The manifests, put together by the real Kustomize and held against the schemas of Kubernetes.

Not tried for want of a cluster: `kubectl apply`, its dry runs, and admission.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.kubernetes import (
    TOOLS,
    Manifest,
    against_restricted,
    build,
    build_with,
    environment_of,
    manifests,
    pod_of,
    readme_patches,
    schema_errors,
    variables_of,
)
from tests.support.quick import answered, rendered

KINDS = {"train": "Job", "serve": "Deployment"}
SEVERAL = ("pytorch", "jax", "tensorflow")  # whose trainers know of other processes


class Project(NamedTuple):
    """A project in a folder, and what its overlays give: the manifests by kind, by workload."""

    answers: dict[str, Any]
    folder: Path
    built: dict[str, dict[str, Manifest]]

    @property
    def pods(self) -> dict[str, Manifest]:
        """The pod of each workload."""
        return {name: pod_of(built[KINDS[name]]) for name, built in self.built.items()}


def answer_sets() -> Iterator[dict[str, Any]]:
    """Every framework, workload, accelerator and platform: what differs, differs in one of them."""
    for framework, workload, accelerator, platform in (
        ("scikit-learn", "train", "cpu", "docker"),
        ("scikit-learn", "serve", "cpu", "openshift"),
        ("pytorch", "both", "gpu", "docker"),
        ("pytorch", "train", "cpu", "openshift"),
        ("jax", "train", "gpu", "openshift"),
        ("jax", "train", "cpu", "docker"),
        ("tensorflow", "both", "cpu", "docker"),
        ("onnxruntime", "serve", "gpu", "docker"),
        ("xgboost", "both", "gpu", "openshift"),
    ):
        yield {
            "framework": framework,
            "workload": workload,
            "accelerator": accelerator,
            "platform": platform,
            "image_name": "ghcr.io/acme/demo",
            "project_name": "demo",
        }


def write(folder: Path, **answers: Any) -> Project:
    """Write the files of a project, and build each overlay."""
    context = answered(**answers, extras=["kubernetes"])
    for name, text in rendered(context):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    overlays = sorted((folder / "kubernetes" / "overlays").iterdir())
    built = {}
    for overlay in overlays:
        (folder / f"{overlay.name}.built.yaml").write_text(build(overlay))
        built[overlay.name] = manifests((folder / f"{overlay.name}.built.yaml").read_text())
    return Project(answers, folder, built)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, network: None) -> list[Project]:
    """Projects with manifests, one for each of `answer_sets`."""
    top = tmp_path_factory.mktemp("kubernetes")
    return [write(top / str(number), **answers) for number, answers in enumerate(answer_sets())]


@pytest.fixture
def one(tmp_path: Path, network: None) -> Callable[..., Project]:
    """Make a project to edit: PyTorch that trains and serves, unless said otherwise."""

    def make(**answers: Any) -> Project:
        usual = {"framework": "pytorch", "workload": "both", "image_name": "ghcr.io/acme/demo"}
        return write(tmp_path, project_name="demo", **{**usual, **answers})

    return make


def test_a_project_has_the_manifests_of_its_workload_and_no_others(made: list[Project]) -> None:
    of_server = {"Service", "Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler"}
    for project in made:
        of_trainer = {"Job", "PersistentVolumeClaim"}
        of_trainer |= {"Service"} if project.answers["framework"] in SEVERAL else set()
        wanted = {"train": of_trainer, "serve": of_server}
        workload = project.answers["workload"]
        names = wanted.keys() if workload == "both" else {workload}
        assert {name: built.keys() for name, built in project.built.items()} == {
            name: wanted[name] for name in names
        }
        below = {path.name for path in (project.folder / "kubernetes").iterdir()}
        assert below == {*names, "overlays"}


def test_every_manifest_fits_the_schemas_of_the_newest_and_of_the_oldest_kubernetes(
    made: list[Project], one: Callable[..., Project]
) -> None:
    files = [path for project in made for path in project.folder.glob("*.built.yaml")]
    newest = TOOLS["kubernetes-validate"]["version"].rpartition(".")[0]
    for version in (newest, TOOLS["kubernetes"]["version"]):
        assert not schema_errors(files, version)
    broken = files[0].with_name("broken.yaml")
    broken.write_text(files[0].read_text().replace("backoffLimit: 6", 'backofLimit: "6"'))
    assert "backofLimit" in schema_errors([broken], newest)


def test_every_pod_passes_the_restricted_pod_security_standard(made: list[Project]) -> None:
    for project in made:
        for pod in project.pods.values():
            assert not list(against_restricted(pod)), project.answers
            assert pod["automountServiceAccountToken"] is False
            assert pod["enableServiceLinks"] is False
            [container] = pod["containers"]
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            # OpenShift gives the user, and refuses a pod that names one.
            users = {"runAsUser", "runAsGroup", "fsGroup"} & pod["securityContext"].keys()
            assert bool(users) == (project.answers["platform"] == "docker")


def test_the_check_of_the_standard_sees_what_breaks_it(made: list[Project]) -> None:
    pod = next(iter(made[0].pods.values()))
    edits: dict[str, Callable[[Manifest], object]] = {
        "runAsNonRoot": lambda pod: pod["securityContext"].pop("runAsNonRoot"),
        "runAsUser": lambda pod: pod["securityContext"].update(runAsUser=0),
        "seccompProfile": lambda pod: pod["securityContext"].pop("seccompProfile"),
        "hostNetwork": lambda pod: pod.update(hostNetwork=True),
        "volume host": lambda pod: pod["volumes"].append({"name": "host", "hostPath": {}}),
        "allowPrivilegeEscalation": lambda pod: pod["containers"][0]["securityContext"].pop(
            "allowPrivilegeEscalation"
        ),
        "capabilities.drop": lambda pod: pod["containers"][0]["securityContext"].pop(
            "capabilities"
        ),
    }
    for name, edit in edits.items():
        broken = copy.deepcopy(pod)
        edit(broken)
        assert list(against_restricted(broken)) == [name]


def test_what_is_mounted_is_what_the_image_writes_to(made: list[Project]) -> None:
    """And what scripts/smoke-test.sh makes writable."""
    for project in made:
        smoke = (project.folder / "scripts/smoke-test.sh").read_text()
        dockerfile = (project.folder / "Dockerfile").read_text()
        [workdir] = re.findall(r"^FROM base.*\nWORKDIR (\S+)$", dockerfile, re.MULTILINE)
        [home] = re.findall(r"\bHOME=(\S+) \\$", dockerfile, re.MULTILINE)
        for name, pod in project.pods.items():
            [container] = pod["containers"]
            mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
            shared = {"/dev/shm"} if "shm" in mounts.values() else set()
            assert mounts.keys() - shared == {f"{workdir}/outputs", f"{home}/.cache", "/tmp"}
            assert {"/tmp", f"{home}/.cache"} <= {*re.findall(r"--tmpfs ([^\s:]+)", smoke)}
            assert {*mounts.values()} == {volume["name"] for volume in pod["volumes"]}
            of_gpus = {"pytorch", "jax"} if project.answers["accelerator"] == "gpu" else {"pytorch"}
            assert bool(shared) == (name == "train" and project.answers["framework"] in of_gpus)
            user = pod["securityContext"].get("runAsUser")
            assert user is None or f"--user {user} " in smoke


def test_gpus_are_asked_for_where_the_image_computes_on_them_and_only_there(
    made: list[Project],
) -> None:
    for project in made:
        for pod in project.pods.values():
            limits = pod["containers"][0]["resources"]["limits"]
            on_gpu = project.answers["accelerator"] == "gpu"
            assert limits.get("nvidia.com/gpu") == (1 if on_gpu else None)
            assert "memory" in limits, "the owner's patch is merged, and does not replace it"


def test_every_variable_is_a_setting_of_what_reads_it(made: list[Project]) -> None:
    files = ("settings.py", "runtime/run_settings.py", "runtime/serve_settings.py")
    # The index is for TF_CONFIG, in the words of Kubernetes.
    of_libraries = ("PET_", "JAX_", "PJRT_", "TF_", "OMP_NUM_THREADS", "JOB_COMPLETION_INDEX")
    for project in made:
        package = project.folder / "src/demo"
        texts = [(package / name).read_text() for name in files if (package / name).exists()]
        settings = set(re.findall(r"^    (\w+): .*=", "\n".join(texts), re.MULTILINE))
        for pod in project.pods.values():
            for name in environment_of(pod["containers"][0]):
                if not name.startswith(of_libraries):
                    assert name.lower() in settings, (project.answers, name)


def test_a_framework_has_a_thread_for_each_cpu_that_is_requested(made: list[Project]) -> None:
    variables = {
        "jax": ["PJRT_NPROC"],
        "tensorflow": ["TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"],
    }
    requested = {"resourceFieldRef": {"resource": "requests.cpu"}}
    for project in made:
        for pod in project.pods.values():
            sources = {one["name"]: one.get("valueFrom") for one in pod["containers"][0]["env"]}
            for name in variables.get(project.answers["framework"], ["OMP_NUM_THREADS"]):
                assert sources.get(name) == requested, (project.answers, name)


def test_the_server_and_the_trainer_have_the_time_that_they_take_to_end(
    made: list[Project],
) -> None:
    for project in made:
        if pod := project.pods.get("serve"):
            settings = (project.folder / "src/demo/runtime/serve_settings.py").read_text()
            [grace] = re.findall(r"grace_seconds: \w+ = Field\(\s*(\d+)", settings)
            drain = float(environment_of(pod["containers"][0])["DRAIN_SECONDS"] or 0)
            assert drain + float(grace) + 5 <= pod["terminationGracePeriodSeconds"]
        if pod := project.pods.get("train"):
            torchrun = environment_of(pod["containers"][0]).get("PET_SHUTDOWN_TIMEOUT") or 60
            assert float(torchrun) + 5 <= pod["terminationGracePeriodSeconds"]


def test_the_probes_ask_where_the_image_serves(made: list[Project]) -> None:
    for project in made:
        if pod := project.pods.get("serve"):
            dockerfile = (project.folder / "Dockerfile").read_text()
            [container] = pod["containers"]
            [port] = container["ports"]
            assert f"\nEXPOSE {port['containerPort']}\n" in dockerfile
            probes = {
                name: container[name]["httpGet"]
                for name in ("startupProbe", "livenessProbe", "readinessProbe")
            }
            assert {probe["port"] for probe in probes.values()} == {port["name"]}
            assert f"}}{probes['livenessProbe']['path']}'" in dockerfile
            app = (project.folder / "src/demo/runtime/app.py").read_text()
            assert f'"{probes["readinessProbe"]["path"]}"' in app
            assert probes["startupProbe"] == probes["livenessProbe"] != probes["readinessProbe"]
            [service] = project.built["serve"]["Service"]["spec"]["ports"]
            assert service["targetPort"] == port["name"]


def test_what_selects_the_pods_selects_those_of_its_own_workload(made: list[Project]) -> None:
    for project in made:
        for name, built in project.built.items():
            labels = built[KINDS[name]]["spec"]["template"]["metadata"]["labels"]
            selectors = [
                one["spec"]["selector"] for one in built.values() if "selector" in one["spec"]
            ]
            for selector in selectors:
                assert selector.get("matchLabels", selector) == labels
            assert labels["app.kubernetes.io/component"] == name


def test_an_overlay_takes_a_release_or_a_digest_in_place_of_the_tag(
    one: Callable[..., Project],
) -> None:
    project = one()
    digest = f"sha256:{'0123456789abcdef' * 4}"
    for name, kind in KINDS.items():
        assert project.pods[name]["containers"][0]["image"] == f"ghcr.io/acme/demo-{name}:main"
        overlay = project.folder / "kubernetes/overlays" / name
        file = overlay / "kustomization.yaml"
        before = file.read_text()
        for line, reference in {
            "newTag: v1.0": f"ghcr.io/acme/demo-{name}:v1.0",
            f"digest: {digest}": f"ghcr.io/acme/demo-{name}@{digest}",
        }.items():
            assert line.partition(": ")[0] in before
            file.write_text(before.replace("newTag: main", line))
            [container] = pod_of(manifests(build(overlay))[kind])["containers"]
            assert container["image"] == reference


def test_an_image_without_a_registry_is_one_that_no_cluster_pulls_from_elsewhere(
    one: Callable[..., Project],
) -> None:
    """`demo` alone would be docker.io/library/demo, which may be somebody's."""
    project = one(image_name="demo")
    assert project.pods["train"]["containers"][0]["image"] == "REGISTRY/demo-train:main"


def merged(project: Project, name: str, patch: Manifest) -> Manifest:
    """The Job or the Deployment after the owner has merged some lines; it fits its schema."""
    overlay = project.folder / "kubernetes/overlays" / name
    built = build_with(overlay, patch)
    (overlay / "built.yaml").write_text(built)
    newest = TOOLS["kubernetes-validate"]["version"].rpartition(".")[0]
    assert not schema_errors([overlay / "built.yaml"], newest)
    return manifests(built)[KINDS[name]]


def test_the_lines_of_the_readme_for_more_pods_and_for_a_model_in_the_image_do_that(
    one: Callable[..., Project],
) -> None:
    project = one()
    more, in_image = readme_patches(project.folder)
    job = merged(project, "train", more)
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 2
    [container] = pod_of(job)["containers"]
    assert environment_of(container)["PET_NNODES"] == "2"
    assert addresses_of(container) == ["demo-train-0.demo-train:29500"], "the others stay"
    pod = pod_of(merged(project, "serve", in_image))
    [container] = pod["containers"]
    assert environment_of(container)["MODEL_PATH"] == "files/model.pt"
    assert {volume["name"] for volume in pod["volumes"]} == {"cache", "tmp"}
    assert {mount["name"] for mount in container["volumeMounts"]} == {"cache", "tmp"}
    readme = (project.folder / "README.md").read_text()
    folders = re.findall(r"^kubectl apply -k (\S+)$", readme, re.MULTILINE)
    assert folders == ["kubernetes/overlays/train", "kubernetes/overlays/serve"]


def test_the_examples_in_the_owners_patches_are_right_where_they_stand(
    one: Callable[..., Project],
) -> None:
    project = one(accelerator="gpu")
    for name, kind in KINDS.items():
        overlay = project.folder / "kubernetes/overlays" / name
        file = overlay / "pod.yaml"
        text = re.sub(r"#   (nodeSelector|tolerations): ", r"\1: ", file.read_text())
        text = re.sub(r"# Settings of .*: (args: .*)", r"\1", text)
        file.write_text(text)
        built = build(overlay)
        pod = pod_of(manifests(built)[kind])
        assert pod["nodeSelector"] and pod["tolerations"][0]["key"] == "nvidia.com/gpu"
        assert pod["containers"][0].get("args") == (["--epochs", "50"] if name == "train" else None)


def test_a_job_starts_what_the_image_starts_or_torchrun_and_tells_each_pod_who_is_first(
    made: list[Project],
) -> None:
    for project in made:
        if pod := project.pods.get("train"):
            [container] = pod["containers"]
            train = ["train"] if project.answers["workload"] == "both" else []
            framework = project.answers["framework"]
            wanted = ["torchrun", "main.py", *train] if framework == "pytorch" else None
            assert container.get("command") == wanted
            job = project.built["train"]["Job"]
            assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
            if framework in SEVERAL:
                service = project.built["train"]["Service"]
                assert job["spec"]["completionMode"] == "Indexed"
                assert service["spec"]["clusterIP"] == "None"
                assert pod["subdomain"] == service["metadata"]["name"]
                [port] = service["spec"]["ports"]
                first = f"{job['metadata']['name']}-0.{service['metadata']['name']}"
                assert addresses_of(container) == [f"{first}:{port['port']}"]


def addresses_of(container: Manifest) -> list[str]:
    """Where the processes that the pod of index 1 knows of listen; torchrun and JAX know one."""
    variables = variables_of(container, 1)
    if config := variables.get("TF_CONFIG"):
        config = json.loads(config)
        assert config["task"] == {"type": "worker", "index": 1}
        return config["cluster"]["worker"]
    if "JAX_PROCESS_ID" in variables:
        assert variables["JAX_PROCESS_ID"] == "1"
        return [variables["JAX_COORDINATOR_ADDRESS"]]
    assert variables["PET_NODE_RANK"] == "1"
    return [f"{variables['PET_MASTER_ADDR']}:{variables['PET_MASTER_PORT']}"]
