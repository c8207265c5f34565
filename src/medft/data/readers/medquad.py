"""`dataset=medquad`: the official MedQuAD release, read from its XML.

Ben Abacha and Demner-Fushman, "A Question-Entailment Approach to Question Answering", BMC Bioinformatics 20:511, 2019.
"""

import hashlib
import http.client
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from medft.config.section import Role
from medft.console import say, track
from medft.data.example import BadRow, Example
from medft.data.readers.archive import read_documents
from medft.data.readers.base import Reader, make_example, require_path
from medft.data.readers.clean import clean_text
from medft.errors import DataError
from medft.files import exclusive_lock, write_atomically


class MedQuAD(Reader):
    """A directory, a zip, or the URL of a zip, with MedQuAD's XML files at any depth."""

    path: Annotated[str, Role.PLACE]
    cache_dir: Annotated[str, Role.PLACE]
    normalise: bool = True

    def read(self) -> Iterator[Example | BadRow]:
        """Yield the answered pairs by file name; the group is the subject (the file's Focus) in lower case.

        Three collections were released without answers; their pairs are left out and counted.
        """
        answered = left_out = bad = 0
        is_url = self.path.startswith(("http://", "https://"))
        path = _download(self.path, Path(self.cache_dir)) if is_url else require_path(self.path)
        for name, content in track(read_documents(path), "Reading MedQuAD"):
            for pair in self._parse(content, f"{path}/{name}"):
                if isinstance(pair, Example) and not pair.output:
                    left_out += 1
                    continue
                bad += isinstance(pair, BadRow)
                answered += isinstance(pair, Example)
                yield pair
        if not answered and not bad:
            raise DataError(f"dataset.path={self.path}: no MedQuAD XML file with an answered question in it")
        say(f"medquad: {answered:,} answered pairs, {left_out:,} without an answer left out")

    def _parse(self, content: bytes, where: str) -> Iterator[Example | BadRow]:
        try:
            root = fromstring(content, forbid_dtd=True)
        except DefusedXmlException:
            yield BadRow(where, "declares a document type or entities, which are not read for safety")
            return
        except (ParseError, ValueError, LookupError) as error:
            yield BadRow(where, f"not valid XML: {' '.join(str(error).split())}")
            return
        # four files of the release have an older layout: doc, pair, question, answer
        document = root.get("id") or root.get("docid") or ""
        source = root.get("source") or root.get("corpus") or ""
        focus = self._read_text(_find_first(root, "Focus", "doctitle-focus"))
        for number, pair in enumerate([*root.iter("QAPair"), *root.iter("pair")], 1):
            question = _find_first(pair, "Question", "question")
            if not self._read_text(question):
                yield BadRow(f"{where}: pair {number}", "the question is empty")
                continue
            example = make_example(
                self._read_text(question),
                self._read_text(_find_first(pair, "Answer", "answer")),
                id=f"{source}-{question.get('qid') or document}",
                group=focus.lower() or f"{source}-{document}",
                document=f"{source}-{document}",
                focus=focus,
                question_type=question.get("qtype", ""),
                source=source,
                url=root.get("url", ""),
            )
            yield replace(example, where=f"{where}: pair {number}")

    def _read_text(self, element: Element) -> str:
        text = "".join(element.itertext())
        return clean_text(text) if self.normalise else text.strip()


def _find_first(element: Element, *names: str) -> Element:
    """Find the first child that has one of the names; an empty element if there is none."""
    return next((child for name in names if (child := element.find(name)) is not None), Element(names[0]))


def _download(url: str, cache: Path) -> Path:
    """Download the zip behind a URL to the cache, once."""
    target = cache / "medquad" / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.zip"
    with exclusive_lock(target.with_suffix(".zip.lock")):
        if target.exists():
            return target
        try:
            with (
                write_atomically(target) as partial,
                partial.open("wb") as file,
                urllib.request.urlopen(url, timeout=30) as reply,  # noqa: S310 (http only)
            ):
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
    return target
