"""`dataset=medquad`: the official MedQuAD release, read from its XML files without trusting them.

Ben Abacha and Demner-Fushman, "A Question-Entailment Approach to Question Answering", BMC Bioinformatics 20:511, 2019.
"""

import html
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Annotated
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring
from typing_extensions import override

from medft.config.options import list_file_readers
from medft.config.paths import data_place, downloaded_archive
from medft.config.section import Role
from medft.console import say, track
from medft.data.example import BadRow, Example
from medft.data.readers.base import Reader, is_remote, make_example, normalize_name, require_path
from medft.data.readers.download import download_zip
from medft.errors import DataError

Document = tuple[str, bytes]  # file name inside the release, XML
_LARGEST = 32 * 2**20  # bytes of one file; the largest of MedQuAD has 0.2 MB
_LARGEST_SUM = 4 * 2**30  # bytes of all files
_MOST = 1_000_000  # files

# Only names that HTML has, and only attributes with a value, so that "p <0.05" and "a<b then c>d" stay as they are.
_NAMES = (
    "a|abbr|b|big|blockquote|br|center|cite|code|dd|div|dl|dt|em|font|h[1-6]|hr|i|img|li|ol|p|pre|q|s|small|span|"
    "strike|strong|sub|sup|table|tbody|td|th|thead|tr|tt|u|ul"
)
_ATTRIBUTE = r"""\s+[\w-]+\s*=\s*(?:"[^"<>]*"|'[^'<>]*'|[^\s"'<>]+)"""
_TAG = re.compile(rf"</?(?:{_NAMES})(?:{_ATTRIBUTE})*\s*/?>", re.IGNORECASE)
# what a page does not show: its beginning and its end
_HIDDEN = [
    (re.compile(opening, re.IGNORECASE), re.compile(closing, re.IGNORECASE))
    for opening, closing in (("<!--", "-->"), (r"<script\b", r"</script\s*>"), (r"<style\b", r"</style\s*>"))
]
# sub- and superscripts, bold and the like stand inside words; the others between them
_INLINE = re.compile(
    r"</?(?:a|abbr|b|big|cite|code|em|font|i|q|s|small|span|strike|strong|sub|sup|tt|u)\b", re.IGNORECASE
)
_INVISIBLE = re.compile("[\u00ad\u200b\u200c\u200d\u2060\ufeff\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class MedQuAD(Reader):
    """A directory, a zip, or the URL of a zip, with MedQuAD's XML files at any depth."""

    path: Annotated[str, Role.PLACE]
    cache_dir: Annotated[str, Role.PLACE]
    normalise: bool = True

    def read(self) -> Iterator[Example | BadRow]:
        """Yield the answered pairs by file name; the group is the subject (the file's Focus) in one spelling.

        Three collections were released without answers; their pairs are left out and counted.
        """
        answered = left_out = bad = 0
        path = Path(self.fetch())
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

    @override
    def check(self, skips: bool) -> None:
        if not is_remote(self.path):
            path = self._find()
            if path.is_file() and not zipfile.is_zipfile(path):
                first, *_ = list_file_readers(str(path))
                hint = "" if path.suffix == ".zip" else f"; for a table: {first} dataset.path={path}"
                raise DataError(f"{self._name}: neither a directory nor a whole zip file{hint}")

    @override
    def fetch(self) -> str:
        """Download the release, where the path is a URL."""
        if not is_remote(self.path):
            return str(self._find())
        target = downloaded_archive(self.cache_dir, self.path)
        try:
            download_zip(self.path, target)
        except OSError as error:
            raise DataError(
                f"{self._name}: cannot be downloaded ({error}); download it elsewhere, and name the copy with "
                "MEDFT_DATA=FILE in the environment, or with dataset=medquad dataset.path=FILE"
            ) from None
        return str(target)

    @property
    def _name(self) -> str:
        """The path as the user has given it."""
        return f"{'MEDFT_DATA' if self.path == data_place() else 'dataset.path'}={self.path}"

    def _find(self) -> Path:
        """The directory or the zip with the XML files; a directory without any may have the zip in it."""
        path = Path(self.path).expanduser()
        if not path.exists():
            raise DataError(f"{self._name}: no such file")
        if path.is_dir() and not any(_list_xml(path)):
            zips = list(path.glob("*.zip"))
            if len(zips) != 1:
                raise DataError(f"{self._name}: no MedQuAD XML file in it; name the release's directory or its .zip")
            return zips[0]
        return require_path(self.path)

    @override
    @classmethod
    def rate_path(cls, path: str) -> int:
        return int(path.endswith(".zip") or Path(path).expanduser().is_dir())

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
                group=normalize_name(focus) or f"{source}-{document}",
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


def _list_xml(folder: Path) -> Iterator[Path]:
    return (each for each in folder.rglob("*") if each.suffix.lower() == ".xml" and each.is_file())


def read_documents(path: Path) -> Iterator[Document]:
    """Yield name and content of each XML file, ordered by name so that the order of rows is fixed.

    Nothing is written to disk, and sizes are checked while unpacking, as a zip may state false ones.

    Raises:
        DataError: it is neither, it is damaged or encrypted, a name leads out of it, or it exceeds a size limit.
    """
    if path.is_dir():
        for file in sorted(_list_xml(path)):
            with file.open("rb") as content:
                yield file.relative_to(path).as_posix(), _check_size(content.read(_LARGEST + 1), str(file))
        return
    try:
        with zipfile.ZipFile(path) as archive:
            yield from _read_zip(archive, path)
    except (zipfile.BadZipFile, EOFError) as error:
        raise DataError(f"{path}: neither a directory nor a whole zip file ({error})") from None


def _read_zip(archive: zipfile.ZipFile, path: Path) -> Iterator[Document]:
    names = sorted(archive.namelist())
    if len(names) > _MOST:
        raise DataError(f"{path}: holds more than {_MOST:,} files")
    for name, next_name in zip(names, [*names[1:], ""], strict=True):
        if name == next_name:
            raise DataError(f"{path}: two files are called {name!r}")
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
            raise DataError(f"{path}: the name {name!r} leads out of the archive")
    total = 0
    for name in names:
        if not name.lower().endswith(".xml") or name.startswith("__MACOSX/"):
            continue
        where = f"{path}/{name}"
        try:
            with archive.open(name) as file:
                content = _check_size(file.read(_LARGEST + 1), where)
        except NotImplementedError as error:
            raise DataError(f"{where}: {error}; pack it again with the usual compression") from None
        except RuntimeError as error:  # how zipfile says that a password is needed
            raise DataError(f"{where}: {error}") from None
        except (zipfile.BadZipFile, EOFError, OSError, zlib.error) as error:
            raise DataError(f"{where}: damaged ({error})") from None
        total += len(content)
        if total > _LARGEST_SUM:
            raise DataError(f"{path}: unpacks to more than {_LARGEST_SUM:,} bytes")
        yield name, content


def _check_size(content: bytes, where: str) -> bytes:
    """Refuse content of which one byte more than allowed was read."""
    if len(content) > _LARGEST:
        raise DataError(f"{where}: larger than {_LARGEST:,} bytes")
    return content


def clean_text(text: str) -> str:
    """Remove HTML tags, comments, entities and invisible characters, and reduce each run of white space to one space.

    Entities are resolved once: `&amp;lt;` becomes `&lt;`, which is what its author wrote.
    """
    for opening, closing in _HIDDEN:  # an opening that is never closed stays in the text
        kept, at = [], 0
        while (begin := opening.search(text, at)) and (end := closing.search(text, begin.end())):
            kept.append(text[at : begin.start()])
            at = end.end()
        text = " ".join([*kept, text[at:]])
    text = _TAG.sub(lambda tag: "" if _INLINE.match(tag[0]) else " ", text)
    return " ".join(_INVISIBLE.sub("", html.unescape(text)).split())
