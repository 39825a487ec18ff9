"""What the lines of a Dockerfile say: its instructions, what they set, read and write."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .edit import Unclear

# What is a file and not a folder, by its name: a folder's content would be copied, a file would be
# copied under its name.
_FILE = re.compile(r".*\.(cfg|conf|csv|env|ini|json|md|py|sh|toml|txt|ya?ml)")
_NAME = re.compile(r"\$(\w+|\{\w+\})")
_USERS = ("addgroup", "adduser", "groupadd", "useradd")
# Commands that touch no file but those that they name by their whole path, and what may follow.
_COMMANDS = {
    "chmod": r"( -[Rcfv]+| --recursive)* [\w+=,-]+( /\S*)+",
    "chown": r"( -[Rcfhv]+| --recursive)* [\w:.-]+( /\S*)+",
    "curl": r"( -[fgkLsSv46]+| --(compressed|create-dirs|fail|location|show-error|silent)"
    r"| --(connect-timeout|max-time|retry[a-z-]*)( \d+)?"
    r"| (-[fgkLsSv46]*o ?|--output )(/\S*|-)| https?://\S+)+",
    "echo": ".*",
    "ln": r"( -[fnsv]+| --(force|symbolic))*( /\S*){2,}",
    "mkdir": r"( -[pv]+| --parents| (-m ?|--mode=)\d+| /\S*)+",
    "printf": ".*",
    "rm": r"( -[fRrv]+| --(force|recursive)| /\S*)+",
    "tar": r"(?=.* (-?\w*C ?|--directory[ =])/)"
    r"( -?[hjJkmpvxz]+| -?[hjJkmpvxz]*f ?(/\S*|-)| (-?[hjJkmpvxz]*C ?|--directory[ =])/\S*"
    r"| --(bzip2|extract|gzip|no-same-owner|xz)| --strip(-components)?[ =]\d+)+",
    "touch": r"( /\S*)+",
    "true": "",
    "wget": r"(?=.* (-\w*O|--output-document))( -[cnqv46]+| --(no-verbose|quiet|show-progress)"
    r"| --(progress|timeout|tries)=[\w:]+| (-[cnqv46]*O ?|--output-document[ =])(/\S*|-)"
    r"| https?://\S+)+",
    **dict.fromkeys(_USERS, r"( -[\w-]+(=[\w.:-]*)?| [\w.-]*| /\S*)*"),
}
# What may decide how packages are downloaded or installed.
_FOR_PACKAGES = re.compile(
    r"\b(uv|pip|python\S*|git|netrc|hosts|ld\.so\S*|environment|profile\S*)\b"
    r"|cert|ssl|proxy|resolv|xdg|/root|/tmp|/var/cache/uv"
)


@dataclass(frozen=True)
class Instruction:
    """An instruction of a Dockerfile, on the lines from `start` to before `end`."""

    start: int
    end: int
    text: str

    @property
    def word(self) -> str:
        """ENV, RUN and so on."""
        return self.text.split(maxsplit=1)[0].upper()

    @property
    def words(self) -> list[str]:
        """Its words after the first, without options."""
        try:
            words = shlex.split(self.text)[1:]
        except ValueError as error:
            raise Unclear(f"`{self.text}` cannot be read ({error})") from None
        words = [word for word in words if not word.startswith("--")]
        if not words:
            raise Unclear(f"`{self.text}` says nothing")
        return words

    @property
    def values(self) -> dict[str, str]:
        """What it sets: variables, or labels, which are not mistaken for such."""
        if self.word not in ("ENV", "ARG", "LABEL"):
            return {}
        words = self.words
        if "=" not in words[0] and self.word != "ARG":  # `ENV NAME a value`
            words = [f"{words[0]}={' '.join(words[1:])}"]
        kind = "label " if self.word == "LABEL" else ""
        return {kind + name: value for name, _, value in (word.partition("=") for word in words)}


def instructions(lines: Sequence[str]) -> list[Instruction]:
    """The instructions of a Dockerfile, or of some lines of one, without comments."""
    found: list[Instruction] = []
    open_at, parts = -1, []
    for number, line in enumerate(lines):
        bare = line.strip()
        if re.match(r"#\s*escape\s*=|[^#].*\\\\$", bare, re.IGNORECASE):
            raise Unclear(f"`{bare}` gives lines another end")
        if not bare or bare.startswith("#"):
            continue
        open_at = number if open_at < 0 else open_at
        # With the space before it: `a\` and `b` on two lines are the word `ab`.
        parts.append(line.rstrip().removesuffix("\\"))
        if not bare.endswith("\\"):
            found.append(Instruction(open_at, number + 1, " ".join("".join(parts).split())))
            open_at, parts = -1, []
    if parts:
        raise Unclear(f"`{parts[0]}` does not end where your lines do")
    if here := next((one for one in found if re.search(r"^(?!LABEL|ENV).*<<", one.text)), None):
        raise Unclear(f"`{here.text}` is followed by lines that look like instructions")
    return found


def stage(known: Sequence[Instruction], line: int) -> list[Instruction]:
    """The instructions of a stage above a line of it."""
    above = [one for one in known if one.start < line]
    first = max((n for n, one in enumerate(above) if one.word == "FROM"), default=0)
    return above[first:]


def beginning(known: Sequence[Instruction], line: int) -> str:
    """How the stage of a line begins; nothing above the first one."""
    above = stage(known, line)
    return above[0].text if above and above[0].word == "FROM" else ""


def named(known: Sequence[Instruction]) -> dict[str, int]:
    """The stages that have a name, with the number of the instruction that begins each."""
    found = {}
    for number, one in enumerate(known):
        if one.word == "FROM" and len(one.words) == 3 and one.words[1].upper() == "AS":
            found[one.words[2].lower()] = number
    return found


def read(instruction: Instruction) -> set[str]:
    """The variables that an instruction reads; where it may read in another way, it is unclear."""
    text = instruction.text
    plain = _NAME.sub("", text)
    if re.search(r"[$`]", plain) or (plain != text and re.search(r"['\\]", text)):
        raise Unclear(f"`{text}` takes a value in a way that cannot be followed")
    return {name.strip("{}") for name in _NAME.findall(text)}


def value(known: Sequence[Instruction], number: int, name: str) -> str:
    """What a variable holds above an instruction; what comes from outside stands in `<>`.

    Args:
        known: all instructions of a Dockerfile.
        number: of the instruction, counted from 0.
        name: of the variable.
    """
    given = ""
    while number > 0:
        number -= 1
        one = known[number]
        if one.word == "ENV" and name in one.values:
            # An ENV of any stage above counts more than an ARG.
            parts = _NAME.split(one.values[name])  # what is between names, and names
            parts[1::2] = [value(known, number, part.strip("{}")) for part in parts[1::2]]
            return "".join(parts)
        if one.word == "ARG" and name in one.values:
            given = given or f" or {one.text}"
        if one.word == "FROM":
            parent = one.words[0]
            start = named(known[:number]).get(parent.lower())
            if start is None:
                return f"<{name} of {parent}{given}>"
            later = (n for n in range(start + 1, number) if known[n].word == "FROM")
            number = next(later, number)
    return f"<{name}{given}>"


def environment(*sides: Sequence[Instruction]) -> set[str]:
    """The variables that a step may read, in all of them: what is set anywhere, but uv's own."""
    found = {name for side in sides for one in side if one.word != "LABEL" for name in one.values}
    return {name for name in found if not name.startswith("UV_")}


def is_apt(run: Instruction) -> bool:
    """Is it a step that installs packages of the system by their names, and nothing else?"""
    if run.word != "RUN":
        return False
    text = re.sub(r"^( --mount=type=cache(?!\S*from=)\S*)+ ", "", run.text[3:])
    return all(map(_is_apt, re.sub(r"\s#[^'\"]*$", "", text).split("&&")))


def _is_apt(command: str) -> bool:
    # Not what reads or writes a file where it runs.
    here = r"-c\S*|--config\S*|(changelog|download|source)( |$)"
    apt = rf"(DEBIAN_FRONTEND=noninteractive )?apt(-get)?(?!.* ({here})) [^|;&<>$`/]*"
    clean = r"rm -rf( /var/(lib/apt/lists|cache/apt)(/archives)?(/\*)?)+"
    return bool(re.fullmatch(f"{apt}|{clean}", command.strip()))


def is_plain(run: Instruction, folders: Collection[str], *, alone: bool = False) -> bool:
    """Is it a step of well-known commands that touch nothing but what they name by its whole path?

    Args:
        run: the instruction.
        folders: which it must not touch, nor what they are in.
        alone: is it also nothing that a download or an installation of packages reads?
    """
    text = run.text[3:].replace("/var/lib/apt/lists/*", "/var/lib/apt/lists").strip()
    if run.word != "RUN" or text.startswith("--") or re.search(r"[$`;(){}<~*?\\[]", text):
        return False
    if re.search("[\"'][|&>]+[\"']", text):  # a word like any other, but not to shlex
        return False
    if alone and _FOR_PACKAGES.search(run.text):
        return False
    lexer = shlex.shlex(re.sub(r"\s#.*", "", text), posix=True, punctuation_chars="|&>")
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(lexer)
    except ValueError:
        return False
    starts = [0, *(n + 1 for n, word in enumerate(words) if word in ("&&", "|"))]
    ends = [*(n - 1 for n in starts[1:]), len(words)]
    touched: list[str] = []
    for command in (words[start:end] for start, end in zip(starts, ends, strict=True)):
        paths = _touched(command)
        if paths is None and not _is_apt(shlex.join(command)):
            return False
        touched += paths or []
    return not any(_within(path, folder) for path in touched for folder in folders)


def _touched(command: list[str]) -> list[str] | None:
    """The paths that a well-known command names; None for another, and where it may touch more."""
    paths, words = [], list(command)
    while to := [number for number, word in enumerate(words) if word in (">", ">>")]:
        paths += words[to[0] + 1 : to[0] + 2] or [""]
        del words[to[0] : to[0] + 2]
    name, *words = words or [""]
    text = "".join(f" {word}" for word in words)
    if not re.fullmatch(_COMMANDS.get(name, "(?!)"), text) or re.search(r" [|&>]+(?= |$)", text):
        return None
    if name not in ("echo", "printf"):
        if any(re.search(r"\s", word) for word in words):
            return None
        paths += [found[1] for word in words if (found := re.fullmatch("(?:-[^/]+)?(/.*)", word))]
    if name in _USERS:  # a user's name may be that of a folder
        paths += [f"/home/{word}" for word in words if not word.startswith(("-", "/"))]
    return paths if all(path.startswith("/") for path in paths) else None


def _within(path: str, folder: str) -> bool:
    """Is it this folder, in it, or what it is in?"""
    one, other = (f"{_whole(name).rstrip('/')}/" for name in (path, folder))
    return one.startswith(other) or other.startswith(one)


def _whole(path: str) -> str:
    """A path without detours."""
    return re.sub("^//+", "/", posixpath.normpath(path))  # which leaves two slashes there


def written(copy: Instruction, folder: str) -> list[str]:
    """The paths that a COPY or an ADD may write: a file, a pattern, or a folder and `/**`.

    Args:
        copy: the instruction.
        folder: the working directory there; "" where it is not known.
    """
    *sources, target = copy.words
    if not folder and not target.startswith("/"):
        raise Unclear(f"`{copy.text}` copies into a folder that is another one there")
    whole = _whole(posixpath.join(folder or "/", target))
    paths = []
    for source in sources:
        name = posixpath.basename(source)
        if _FILE.fullmatch(name):
            paths.append(posixpath.join(whole, name))
            paths += [] if target.endswith(("/", ".")) else [whole]
        else:
            paths.append(posixpath.join(whole, "**"))
    return paths


def overlap(one: str, other: str) -> bool:
    """May two of the paths that `written` returns be the same?"""
    for path, pattern in ((one, other), (other, one)):
        if pattern.endswith("/**"):
            folder = pattern.removesuffix("/**")
            if path == folder or path.startswith(f"{folder}/"):
                return True
        elif posixpath.dirname(path) == posixpath.dirname(pattern) and fnmatchcase(path, pattern):
            return True
    return False
