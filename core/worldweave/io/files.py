"""Write files so that they are whole or absent, and name what stood in the way."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worldweave_registry.errors import WorldweaveError

_ELSEWHERE = "choose another folder"
_REMEDIES = {
    errno.ENOSPC: f"the disk is full; free some space or {_ELSEWHERE}",
    errno.EDQUOT: f"the disk quota is used up; free some space or {_ELSEWHERE}",
    errno.EFBIG: "the file would be larger than the file system or the shell allows; "
    f"raise the limit (ulimit -f) or {_ELSEWHERE}",
    errno.EACCES: f"no permission; {_ELSEWHERE}",
    errno.EPERM: f"no permission; {_ELSEWHERE}",
    errno.EROFS: f"the file system is read-only; {_ELSEWHERE}",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}
_OUT_OF_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Lend a temporary path beside *path*; rename it to *path* if all goes well.

    The temporary file exists, empty, from the start, so a folder that cannot be
    written is found before the work and not after it. On any exception,
    KeyboardInterrupt included, it is removed and *path* is what it was. A
    symbolic link is followed. The suffix is that of *path*.

    Raises WorldweaveError where the folder is missing, *path* is no regular
    file, the folder cannot be written, or the room runs out during the work.
    Other errors of the work pass through.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".worldweave-{secrets.token_hex(6)}{target.suffix}")
    try:
        try:
            _refuse_bad_target(path, target)
            # 0o666 leaves the permissions to the user's umask; mkstemp would not.
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except OSError as error:
            raise _cannot_write(path, error) from error
        try:
            yield temporary
        except OSError as error:
            if error.errno in _OUT_OF_ROOM:
                raise _cannot_write(path, error) from error
            raise
        try:
            os.replace(temporary, target)
        except OSError as error:
            raise _cannot_write(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def sha256(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file in lower-case hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def tree_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, or of the listing of a folder's files."""
    if path.is_file():
        return sha256(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    listing = "".join(f"{sha256(file)}  {file.relative_to(path)}\n" for file in files)
    return hashlib.sha256(listing.encode()).hexdigest()


def free_space_check(folder: str | os.PathLike[str], need_bytes: int) -> None:
    """Raise WorldweaveError unless *folder* has room for *need_bytes* more.

    A folder that does not exist yet is judged by its nearest existing parent.
    """
    place = Path(folder).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < need_bytes:
        need = readable_size(need_bytes)
        raise WorldweaveError(
            f"{folder} has {readable_size(free)} free but {need} are needed; "
            f"free some space or {_ELSEWHERE}"
        )


def _refuse_bad_target(path: str | os.PathLike[str], target: Path) -> None:
    if not target.parent.is_dir():
        raise WorldweaveError(
            f"cannot write {path}: there is no folder {target.parent}; "
            "create it or choose another"
        )
    if target.is_dir():
        raise WorldweaveError(
            f"cannot write {path}: it is a folder; add a file name to it"
        )
    # Renaming over a device such as /dev/null would replace it for everyone.
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):
        raise WorldweaveError(
            f"cannot write {path}: it is not a regular file; choose another name"
        )


def _cannot_write(path: str | os.PathLike[str], error: OSError) -> WorldweaveError:
    reason = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
    return WorldweaveError(f"cannot write {path}: {reason}")


def readable_size(count: int) -> str:
    """Say a number of bytes in decimal units: 1500000000 is 1.5 GB."""
    size = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
