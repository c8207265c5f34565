"""The XML files of a directory or a zip, read without trusting either."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from medft.errors import DataError

Document = tuple[str, bytes]  # file name inside the release, XML
_LARGEST = 32 * 2**20  # bytes of one file; the largest of MedQuAD has 0.2 MB
_LARGEST_SUM = 4 * 2**30  # bytes of all files
_MOST = 1_000_000  # files


def read_documents(path: Path) -> Iterator[Document]:
    """Yield name and content of each XML file, ordered by name so that the order of rows is fixed.

    Nothing is written to disk, and sizes are checked while unpacking, as a zip may state false ones.

    Raises:
        DataError: it is neither, it is damaged or encrypted, a name leads out of it, or it exceeds a size limit.
    """
    if path.is_dir():
        for file in sorted(each for each in path.rglob("*") if each.suffix.lower() == ".xml" and each.is_file()):
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
