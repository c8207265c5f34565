"""`dataset=medquad`: the official MedQuAD release, read from its XML.

Ben Abacha and Demner-Fushman, "A Question-Entailment Approach to Question Answering", BMC Bioinformatics 20:511, 2019.
"""

import hashlib
import http.client
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from filelock import FileLock

from medft.console import say, track
from medft.data.example import Example
from medft.data.readers.base import Reader, existing, make_example, unique_ids
from medft.errors import DataError

Document = tuple[str, bytes]  # file name inside the release, XML


class MedQuAD(Reader):
    """A directory, a zip, or the URL of a zip, with MedQuAD's XML files at any depth."""

    path: str
    cache_dir: str

    def read(self) -> Iterator[Example]:
        """Yield the answered pairs by file name; the group is the subject (the file's Focus) in lower case.

        Three collections were released without answers; their pairs are left out and counted.
        """
        answered = left_out = 0
        for example in unique_ids(self._pairs()):
            if example.output:
                answered += 1
                yield example
            else:
                left_out += 1
        if not answered:
            raise DataError(f"dataset.path={self.path}: no MedQuAD XML file with an answered question in it")
        say(f"medquad: {answered:,} answered pairs, {left_out:,} without an answer left out")

    def _pairs(self) -> Iterator[Example]:
        path = _download(self.path, Path(self.cache_dir)) if _is_url(self.path) else existing(self.path)
        for name, content in track(list(_documents(path)), "Reading MedQuAD"):
            yield from _parse(content, f"{path}/{name}")


def _is_url(path: str) -> bool:
    return path.startswith(("http://", "https://"))


def _documents(path: Path) -> Iterator[Document]:
    """The XML files of a directory or a zip, ordered by name so that the order of rows is fixed."""
    if path.is_dir():
        for file in sorted(path.rglob("*.xml")):
            yield file.relative_to(path).as_posix(), file.read_bytes()
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(name for name in archive.namelist() if name.endswith(".xml")):
                yield name, archive.read(name)
    except zipfile.BadZipFile:
        raise DataError(f"{path}: is neither a directory nor a zip file") from None


def _parse(content: bytes, where: str) -> Iterator[Example]:
    try:
        root = fromstring(content)
    except (ParseError, DefusedXmlException) as error:
        raise DataError(f"{where}: not valid XML: {error}") from None
    document, source = root.get("id", ""), root.get("source", "")
    focus = _text(root.find("Focus"))
    for pair in root.iter("QAPair"):
        question = pair.find("Question")
        if question is None or not _text(question):
            continue
        yield make_example(
            _text(question),
            _text(pair.find("Answer")),
            id=f"{source}-{question.get('qid') or document}",
            group=focus.lower() or f"{source}-{document}",
            focus=focus,
            question_type=question.get("qtype", ""),
            source=source,
            url=root.get("url", ""),
            document=document,
        )


def _text(element: Element | None) -> str:
    return "" if element is None else " ".join("".join(element.itertext()).split())


def _download(url: str, cache: Path) -> Path:
    """The zip behind a URL, downloaded once to the cache."""
    target = cache / "medquad" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.zip"
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not target.exists():
            partial = target.with_suffix(".part")
            _fetch(url, partial)
            partial.rename(target)
    return target


def _fetch(url: str, target: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=30) as reply, target.open("wb") as file:  # noqa: S310 (http only)
            total = int(reply.headers.get("Content-Length") or 0)
            chunks = iter(lambda: reply.read(1 << 18), b"")
            for chunk in track(chunks, "Downloading MedQuAD", total=total / (1 << 18) or None):
                file.write(chunk)
            if total and file.tell() != total:
                raise OSError(f"only {file.tell()} of {total} bytes came")
    except (http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        raise DataError(
            f"dataset.path={url}: cannot be downloaded ({reason}); give a copy with dataset.path=<directory or zip>"
        ) from None
