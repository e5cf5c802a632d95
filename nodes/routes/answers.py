"""What a route answers when something goes wrong: one sentence, and HTTP's status for it."""

import errno
import sqlite3
from collections.abc import Awaitable, Callable

from aiohttp import web

from ...retrieval.disk.faults import number_of, number_of_sqlite, sentence_of
from ...retrieval.engines.base import DamagedIndex
from . import generate as sketch_to_picture
from . import guard
from .gallery import Conflict, NotHere

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

# Of what the operating system says; every other number: 503.
_NUMBERS = {
    507: (errno.ENOSPC, errno.EDQUOT, errno.EFBIG),
    403: (errno.EROFS, errno.EACCES, errno.EPERM),
    404: (errno.ENOENT,),
    400: (errno.ENAMETOOLONG,),
    409: (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EBUSY, errno.ETXTBSY)
    + (errno.ESTALE, errno.EBADMSG),
}
_STATUS_OF = {number: status for status, numbers in _NUMBERS.items() for number in numbers}
# The first that fits; what is in none of them is a fault of ours, which ComfyUI logs and answers with 500.
_KINDS: tuple[tuple[type[Exception], int], ...] = (
    (NotHere, 404),
    (Conflict, 409),
    (DamagedIndex, 503),
    (PermissionError, 403),
    (FileNotFoundError, 404),
    (FileExistsError, 409),
    (OSError, 503),
    (ImportError, 503),
    (MemoryError, 503),
    (RuntimeError, 503),
    (sqlite3.Error, 503),
    (ValueError, 400),
)
_EXPECTED = tuple(kind for kind, _ in _KINDS)


def status_of(error: Exception) -> int:
    """Return HTTP's status for one of the errors of _KINDS."""
    if isinstance(error, (guard.Refused, sketch_to_picture.Failed)):
        return error.status
    number = number_of_sqlite(error) if isinstance(error, sqlite3.Error) else None
    if isinstance(error, OSError):
        number = number_of(error)
    if number is not None:
        return _STATUS_OF.get(number, 503)
    return next(status for kind, status in _KINDS if isinstance(error, kind))


def answering(handler: Handler) -> Handler:
    """Return the handler of a route that keeps to `guard`'s first rule and answers errors."""

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            guard.refuse_other_sites(request.headers)
            response = await handler(request)
        except _EXPECTED as error:
            response = web.json_response({"error": sentence_of(error)}, status=status_of(error))
        for name, value in () if response.prepared else HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    return answer
