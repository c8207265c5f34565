"""Downloads a zip to the cache, once; a download that broke off goes on where it ended."""

import http.client
import urllib.error
import urllib.request
import zipfile
import zlib
from http import HTTPStatus
from pathlib import Path

from medft.console import format_size, say, track, waiting
from medft.files import exclusive_lock

_LARGEST = 2**30  # bytes; a release of MedQuAD has 0.01 GB
_CHUNK = 1 << 18  # bytes


def download_zip(url: str, target: Path) -> None:
    """Download the zip behind a URL, unless `target` is one. What has come of it is kept beside `target` meanwhile.

    Raises:
        OSError: it cannot be reached, sends less than it said or more than is taken, or it is no whole zip.
    """
    partial = target.with_suffix(".zip.part")
    with exclusive_lock(target.with_suffix(".zip.lock")):
        if zipfile.is_zipfile(target):
            return
        try:
            # what there is may be of another release: then all of it is downloaded
            if not (partial.exists() and _is_whole(_copy_reply(url, partial))):
                partial.unlink(missing_ok=True)
                if not _is_whole(_copy_reply(url, partial)):  # a page of a proxy, or the connection was closed early
                    partial.unlink()
                    raise OSError("what came is no whole zip file")
            partial.replace(target)
        except (http.client.HTTPException, OSError, ValueError) as error:
            kept = f"; {partial.stat().st_size:,} bytes are kept, and a new try goes on" if partial.exists() else ""
            raise OSError(f"{getattr(error, 'reason', error)}{kept}") from None
    say(f"downloaded {url}")


def _copy_reply(url: str, partial: Path) -> Path:
    """Write what a URL has to a file, after what the file has of it already."""
    there = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={there}-"} if there else {})  # noqa: S310
    try:
        with waiting(f"Downloading {url}"):
            reply = urllib.request.urlopen(request, timeout=30)  # noqa: S310 (http only)
    except urllib.error.HTTPError as error:
        if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # there is no more of it
            return partial
        raise
    goes_on = reply.status == HTTPStatus.PARTIAL_CONTENT
    with reply, partial.open("ab" if goes_on else "wb") as file:
        coming = int(reply.headers.get("Content-Length") or 0)
        for chunk in track(iter(lambda: reply.read(_CHUNK), b""), "Downloading", total=coming / _CHUNK or None):
            file.write(chunk)
            if file.tell() > _LARGEST:
                partial.unlink()
                raise OSError(f"larger than {format_size(_LARGEST)}")
        whole = coming + (there if goes_on else 0)
        if coming and file.tell() != whole:
            raise OSError(f"only {file.tell()} of {whole} bytes came")
    return partial


def _is_whole(file: Path) -> bool:
    """Whether it is a zip whose files have their checksums."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError):
        return False
