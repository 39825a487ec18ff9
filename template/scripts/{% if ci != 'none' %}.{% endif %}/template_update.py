"""Propose what the template has learned since, on a branch per version. The CI runs it weekly.

    python scripts/template_update.py prepare FOLDER    update, and write what came of it
    python scripts/template_update.py propose FOLDER    push that, and open a request to merge it

Only the second has a token. The first runs the template and `uv lock`, which may run the build
backend of a package: it must find nothing worth stealing, and leave nothing behind where the token
is. So they are jobs of their own, and all that goes from one to the other is FOLDER.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

NAME, EMAIL = "template-update", "template-update@users.noreply.github.com"
CONFLICT = re.compile(
    r"^<{7} before updating\n.*?^={7}\n(.*?)^>{7} after updating\n",
    re.DOTALL | re.MULTILINE,
)
# Lines of an update that settled a conflict, or that found some of the project's in another stage.
MOVED = re.compile(r"^moved +in (.+)")
ELSEWHERE = re.compile(r"^elsewhere +in (.+)")


def prepare(folder: Path) -> None:
    """Update the project, and write the commit and the text of the request to a folder."""
    base = git("rev-parse", "HEAD")
    before = stack()
    version = os.environ.get("TEMPLATE_VERSION")
    copier = [sys.executable, "-m", "copier", "update", "--trust", "--defaults", "--skip-answered"]
    moved, elsewhere = [], []
    copier += [f"--vcs-ref={version}"] if version else []
    with subprocess.Popen(copier, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            print(line, end="", file=sys.stderr, flush=True)
            moved += MOVED.findall(line)
            elsewhere += ELSEWHERE.findall(line)
    if process.returncode:
        sys.exit(process.returncode)  # Copier has said why.
    conflicts = git("diff", "--name-only", "--diff-filter=U").splitlines()
    git("add", "--all")
    if not git("diff", "--cached", "--name-only"):
        print("Nothing new.")
        return
    removed = git("diff", "--cached", "--name-only", "--no-renames", "--diff-filter=D").splitlines()
    version = re.search(r"^_commit: (\S+)", Path(".copier-answers.yml").read_text(), re.M)[1]
    branch = f"template-update/{version.strip(chr(39))}"
    title = f"Update from the template to {version}"
    git("switch", "--quiet", "--force-create", branch)
    git("commit", "--quiet", "--no-verify", "--message", title)
    folder.mkdir(parents=True, exist_ok=True)
    git("bundle", "create", "--quiet", str(folder / "update.bundle"), branch, f"^{base}")
    proposal = {
        "branch": branch,
        "title": title,
        "body": words(before, stack(), conflicts, elsewhere, moved, removed),
        "draft": bool(conflicts or elsewhere),
    }
    (folder / "proposal.json").write_text(json.dumps(proposal, indent=2))


def stack() -> dict[str, str]:
    """Read what the image is made of; where an update left a conflict, its side counts."""
    dockerfile = CONFLICT.sub(r"\1", Path("Dockerfile").read_text())
    groups = CONFLICT.sub(r"\1", Path("pyproject.toml").read_text())
    try:
        groups = tomllib.loads(groups).get("dependency-groups", {})
    except tomllib.TOMLDecodeError:
        groups = {}
    framework = [row for row in groups.get("gpu", groups.get("cpu", [])) if isinstance(row, str)]
    found = {
        "Base image": re.search(r"^ARG BASE_IMAGE=(\S+)", dockerfile, re.M),
        "CUDA": re.search(r"nvidia/cuda:([0-9.]+)", dockerfile),
        "Driver": re.search(r"\bDriver ([^;,]*? or newer)", dockerfile),
        "uv": re.search(r"^FROM \S*/uv:(\S+) AS uv", dockerfile, re.M),
    }
    facts = {name: match[1] for name, match in found.items() if match}
    facts["Framework"] = ", ".join(framework)
    facts["Python"] = Path(".python-version").read_text().strip()
    return facts


def words(
    before: dict,
    after: dict,
    conflicts: list[str],
    elsewhere: list[str],
    moved: list[str],
    removed: list[str],
) -> str:
    """Say in words what changes, for whoever decides."""
    changed = [
        name
        for name in ("Base image", "CUDA", "Driver", "Framework", "Python", "uv")
        if before.get(name) != after.get(name)
    ]
    lines = ["The stack of the image stays as it is."]
    if changed:
        lines = ["| | before | after |", "| --- | --- | --- |"]
        for name in changed:
            lines.append(f"| {name} | {before.get(name, 'none')} | {after.get(name, 'none')} |")
    if conflicts:
        lines += ["", "This project and the template changed the same lines of:", ""]
        lines += [f"- `{name}`" for name in conflicts]
        lines += ["", "Edit what stands between the markers, run `uv lock`, push to this branch."]
    if elsewhere:
        lines += ["", "Lines of this project that may mean something else where they are now:", ""]
        lines += [f"- {line}" for line in elsewhere]
    if moved:
        lines += ["", "Lines of this project that stand elsewhere now, meaning the same:", ""]
        lines += [f"- {line}" for line in moved]
    if removed:
        lines += ["", "Removed, since the template has none with these answers any more:", ""]
        lines += [f"- `{name}`" for name in removed]
    lines += ["", "This branch is left alone once somebody else has pushed to it."]
    return "\n".join(lines)


def propose(folder: Path) -> None:
    """Push the prepared branch, unless it holds somebody's work, and open or update the request."""
    if not (folder / "proposal.json").exists():
        print("Nothing was prepared.")
        return
    proposal = json.loads((folder / "proposal.json").read_text())
    branch = proposal["branch"]
    if not re.fullmatch(r"template-update/[\w.+-]+", branch):
        sys.exit(f"{branch} is no branch of an update.")
    host = GitHub() if os.environ.get("GITHUB_ACTIONS") else GitLab()
    request, state = host.find(branch)
    if state in ("closed", "merged"):
        print(f"The request of {branch} was {state}: left at that.")
        return
    git("fetch", "--quiet", str(folder / "update.bundle"), f"+{branch}:refs/heads/{branch}")
    there = git("ls-remote", host.remote, f"refs/heads/{branch}").partition("\t")[0]
    if there:
        git("fetch", "--quiet", host.remote, there)
        people = set(git("log", "--format=%ce", there, "--not", "HEAD").splitlines()) - {EMAIL}
        if people:
            print(f"{branch} holds commits of {', '.join(sorted(people))}: left alone.")
            return
    lease = f"--force-with-lease=refs/heads/{branch}:{there}"
    git("push", "--quiet", lease, host.remote, f"refs/heads/{branch}")
    host.write(request, proposal)


class GitHub:
    """Requests on GitHub, by its command `gh`, which has the token."""

    remote = "origin"

    def find(self, branch: str) -> tuple[str, str]:
        """Return the number and the state of the newest request for a branch, "" for none."""
        words = ("--head", branch, "--state", "all", "--limit", "1", "--json", "number,state")
        found = json.loads(run("gh", "pr", "list", *words))
        return (str(found[0]["number"]), found[0]["state"].lower()) if found else ("", "")

    def write(self, request: str, proposal: dict) -> None:
        """Write the text of a request, or of a new one."""
        text = ("--title", proposal["title"], "--body", proposal["body"])
        if request:
            run("gh", "pr", "edit", request, *text)
        else:
            draft = ["--draft"] if proposal["draft"] else []
            run("gh", "pr", "create", "--head", proposal["branch"], *text, *draft)


class GitLab:
    """Requests on GitLab, by its API, with a token of the project."""

    def __init__(self) -> None:
        self.api = f"{os.environ['CI_API_V4_URL']}/projects/{os.environ['CI_PROJECT_ID']}"
        self.remote = os.environ["CI_REPOSITORY_URL"]
        if match := re.fullmatch(r"(https?://)[^@]*@(.*)", self.remote):
            # The job's own token may not push; git asks for the password of this one.
            self.remote = f"{match[1]}template-update@{match[2]}"

    def ask(self, method: str, path: str, data: dict | None = None) -> list | dict:
        request = urllib.request.Request(
            f"{self.api}/merge_requests{path}",
            data=json.dumps(data).encode() if data else None,
            method=method,
            headers={
                "PRIVATE-TOKEN": os.environ["TEMPLATE_UPDATE_TOKEN"],
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def find(self, branch: str) -> tuple[str, str]:
        found = self.ask("GET", f"?source_branch={branch.replace('/', '%2F')}&state=all")
        return (str(found[0]["iid"]), found[0]["state"]) if found else ("", "")

    def write(self, request: str, proposal: dict) -> None:
        title = ("Draft: " if proposal["draft"] else "") + proposal["title"]
        text = {"title": title, "description": proposal["body"]}
        if request:
            self.ask("PUT", f"/{request}", text)
        else:
            branches = {
                "source_branch": proposal["branch"],
                "target_branch": os.environ["CI_DEFAULT_BRANCH"],
            }
            self.ask("POST", "", {**branches, **text})


def git(*words: str) -> str:
    """Run git as the one who updates, without hooks, and return what it said."""
    helper = '!printf "password=%s\\n" "$TEMPLATE_UPDATE_TOKEN" #'
    options = [f"user.name={NAME}", f"user.email={EMAIL}", f"core.hooksPath={os.devnull}"]
    if os.environ.get("GITLAB_CI"):
        options.append(f"credential.helper={helper}")
    return run("git", *(word for option in options for word in ("-c", option)), *words)


def run(*words: str) -> str:
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


if __name__ == "__main__":
    {"prepare": prepare, "propose": propose}[sys.argv[1]](Path(sys.argv[2]))
