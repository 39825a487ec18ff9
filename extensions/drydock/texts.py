"""Checks of the free texts. Each returns "" or one sentence that says what to answer instead."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from urllib.parse import urlsplit


def quoted(text: str) -> str:
    """Quote what a user typed, on one line and not too long."""
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return f'"{clean[:60]}…"' if len(clean) > 60 else f'"{clean}"'


def check_description(text: str) -> str:
    """Refuse what would break a one-line text: control characters and the like."""
    # Control characters, surrogates, line and paragraph separators, and the marks that
    # reorder text on the screen.
    bad = next((c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")), None)
    bad = bad or next((c for c in text if c in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067"), None)
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
    """Refuse what is no list of Debian package names."""
    for name in text.split(" "):
        if name and not re.fullmatch(r"[a-z0-9][a-z0-9+.-]+", name):
            return (
                f"{quoted(name)} is no Debian package name; answer names separated by spaces, "
                "without versions, for example: libgl1 ffmpeg."
            )
    return ""


def check_url(text: str) -> str:
    """Refuse what is no web address, and credentials in one."""
    example = "for example https://pypi.example.com/simple"
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


CHECKS: dict[str, Callable[[str], str]] = {
    "description": check_description,
    "image_name": check_image_name,
    "apt_packages": check_apt_packages,
    "package_index": check_url,
    "pytorch_index": check_url,
    "image_mirror": check_image_mirror,
}
