"""Checks of the free texts. Each returns "" or one sentence that says what to answer instead."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit


def quoted(text: str) -> str:
    """Quote what a user typed, on one line and not too long."""
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return f'"{clean[:60]}…"' if len(clean) > 60 else f'"{clean}"'


def check_description(text: str) -> str:
    """Refuse what would break a one-line text, and what nobody sees: control characters,
    surrogates, line separators, and the format characters, which reorder or hide text.

    Two of the latter are letters' business and stay: the zero-width joiner makes one emoji of
    several, and Persian needs the non-joiner.
    """
    hidden = ("Cc", "Cf", "Cs", "Zl", "Zp")
    bad = next(
        (c for c in text if unicodedata.category(c) in hidden and c not in "\u200c\u200d"), None
    )
    if bad is not None:
        return (
            f"The description holds the character U+{ord(bad):04X}; answer one line of plain "
            "text, for example: Forecasts tomorrow's load."
        )
    if not text.strip() or len(text) > 300:
        return "Answer one line of 1 to 300 characters, for example: Forecasts tomorrow's load."
    return ""


def check_image_name(text: str) -> str:
    """Refuse what is no repository of Docker's reference grammar, and tags."""
    example = "for example registry.example.com/team/churn"
    bare = re.sub(r"(@.*|:[^/]*)$", "", text)
    if bare != text and _is_repository(bare):
        return f"{quoted(text)} holds a tag or a digest; answer the name alone: {bare}."
    if not _is_repository(text):
        return (
            f"{quoted(text)} is no image name; answer lower-case registry/namespace/name, "
            f"without a tag, {example}."
        )
    return ""


_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_HOST = rf"(?:localhost|{_LABEL}(?:\.{_LABEL})+|{_LABEL}(?=:))(?::[0-9]{{1,5}})?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"


def _is_repository(text: str) -> bool:
    """Tell whether text is a repository of Docker's reference grammar, in lower case."""
    path = rf"{_COMPONENT}(?:/{_COMPONENT})*"
    return len(text) <= 255 and bool(re.fullmatch(rf"(?:{_HOST}/)?{path}", text))


def check_image_mirror(text: str) -> str:
    """Refuse what is no registry prefix."""
    if not text or re.fullmatch(rf"{_HOST}(?:/{_COMPONENT})*", text):
        return ""
    return (
        f"{quoted(text)} is no registry prefix; answer a lower-case host and path, without "
        "https:// and without a slash at the end, for example registry.example.com/proxy."
    )


def check_apt_packages(text: str) -> str:
    """Refuse what is no list of Debian package names, and what apt-get takes for something else.

    The policy (5.6.1) allows `tzdata-` and `lib.+`. But apt-get removes what ends in "-", and it
    takes a name that it does not know for a regular expression where "." or "+" is in it. So a
    dot stands between letters or digits, and a "+" after one of them or another "+", as they do
    in every name of Debian. The Dockerfile turns the expressions off, for names that are no
    package of its distribution.
    """
    for name in text.split(" "):
        if name.endswith("-") and _is_package(name.rstrip("-")):
            return (
                f"{quoted(name)} tells apt-get to remove a package; answer the names to install, "
                "for example: libgl1 ffmpeg."
            )
        if re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name) and not _is_package(name):
            return (
                f"apt-get takes {quoted(name)} for a pattern of several packages; answer their "
                "names, for example: libgl1 ffmpeg."
            )
        if name and not _is_package(name):
            return (
                f"{quoted(name)} is no Debian package name; answer names separated by spaces, "
                "without versions, for example: libgl1 ffmpeg."
            )
    return ""


def _is_package(name: str) -> bool:
    """Tell whether a name is one that a package of Debian can have, and that only means itself."""
    within = r"[a-z0-9-]|(?<=[a-z0-9+])\+|(?<=[a-z0-9])\.(?=[a-z0-9])"
    return bool(re.fullmatch(rf"[a-z0-9](?:{within})*(?<!-)", name)) and len(name) > 1


def check_url(text: str, address: str = "https://pypi.example.com/simple") -> str:
    """Refuse what is no web address, and credentials in one; `address` is an example.

    http:// is taken, since there are indexes inside of companies that have nothing else, and a
    project that has one must be able to update; `cautions` says what it risks.
    """
    example = f"for example {address}"
    if not text:
        return ""
    if not re.fullmatch(r"https?://[A-Za-z0-9.\-_~:/@%+\[\]]+", text):
        return f"{quoted(text)} is no http or https address; answer one, {example}, or nothing."
    try:
        parts = urlsplit(text)
        valid = bool(parts.hostname) and parts.port != 0
    except ValueError:
        return f"{quoted(text)} is no http or https address; answer one, {example}, or nothing."
    if "@" in parts.netloc:
        return (
            "The address holds credentials, which would be committed; answer it without them, "
            f"{example}, and give them at build time as a secret."
        )
    return "" if valid else f"{quoted(text)} names no host; answer an address, {example}."


def check_python_mirror(text: str) -> str:
    """Refuse what is no web address, as `check_url`."""
    return check_url(text, "https://mirror.example.com/python-build-standalone")


def cautions(answers: Mapping[str, Any]) -> list[str]:
    """Return a line for each index that is read without encryption, except on this machine.

    uv checks a download against the hashes of uv.lock; but these come from the index, too. (It has
    the hashes of CPythons in itself, so a mirror of them can change nothing.)
    """
    return [
        f"caution    {question} is not encrypted: whoever sits on the way can change what uv.lock "
        "is made of, and read the credentials. Give it an address with https://, if it has one."
        for question in ("package_index", "pytorch_index")
        if _is_plain(str(answers.get(question) or ""))
    ]


def _is_plain(url: str) -> bool:
    """Tell whether an address is of http, and leads away from this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    own = host in ("localhost", "::1") or re.fullmatch(r"127(?:\.\d{1,3}){3}", host)
    return parts.scheme == "http" and not own


CHECKS: dict[str, Callable[[str], str]] = {
    "description": check_description,
    "image_name": check_image_name,
    "apt_packages": check_apt_packages,
    "package_index": check_url,
    "pytorch_index": check_url,
    "image_mirror": check_image_mirror,
    "python_mirror": check_python_mirror,
}
