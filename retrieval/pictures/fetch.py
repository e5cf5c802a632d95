"""Fetches pictures that are named by http(s) URL, from public addresses alone. Knows no knowledge base.

A URL may come with a workflow from anywhere, and must not make this machine ask its neighbours for things. So the
address is looked at after the host's name was resolved, and the connection goes to that very address: a name that
resolves to another one a moment later gains nothing. Each redirect is looked at in the same way.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from .picture_file import ending_of

MAX_BYTES = 50_000_000  # of one picture
MAX_SECONDS = 30.0  # from the first look-up to the last byte
MAX_REDIRECTS = 5
MAX_LIST = 1_000_000  # bytes of a text file of URLs
LIST_SUFFIX = ".txt"
_CHUNK = 65536
_REDIRECTS = (301, 302, 303, 307, 308)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in the last 32 bits
_UNICAST = ipaddress.ip_network("2000::/3")  # RFC 4291: all that is global in IPv6
# Metadata services of clouds at addresses that look public: Azure's; and Oracle's, of which Python before 3.12 says so.
_METADATA = (ipaddress.ip_network("168.63.129.16/32"), ipaddress.ip_network("192.0.0.0/24"))
# What is taken. What a server calls its answer is not looked at.
_TAKEN = {".png", ".tiff", ".avif", ".heic", ".jpg", ".webp", ".gif", ".bmp"}
_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "style-rag"}

Resolve = Callable[[str, int], list[str]]


def is_url(source: str) -> bool:
    """Tell whether a source is an address, of whatever scheme, and no path."""
    return re.match(r"[a-z][a-z0-9+.-]+://", source, re.IGNORECASE) is not None


def check_url(url: str) -> SplitResult:
    """Return the parts of a URL that may be looked up. Raises ValueError in one sentence."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"source {url} is not a URL ({error}): correct it.") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"source {url} begins with {parts.scheme}://: only http:// and https:// are fetched.")
    if not parts.hostname or port == 0 or re.search(r"[\x00-\x20\x7f]", url):
        raise ValueError(f"source {url} names no host, or has blanks: write it as https://host/picture.png.")
    if parts.username or parts.password:
        raise ValueError(
            f"source {parts.scheme}://…@{parts.hostname} has a user name: only public pictures are fetched."
        )
    return parts


class ListedUrl(str):
    """A URL out of a list.

    file: the list's path.
    """

    file: str


def named_source(url: str) -> str:
    """Return what was named for a URL to be fetched: itself, or the list that it is in."""
    return url.file if isinstance(url, ListedUrl) else url


def read_url_list(file: Path) -> list[ListedUrl]:
    """Return the URLs of a text file, a line each; blank lines and those that begin with # are left out.

    Raises ValueError in one sentence.
    """
    if file.stat().st_size > MAX_LIST:
        raise ValueError(f"source {file.name} is larger than the {MAX_LIST:,} bytes of a list of URLs: divide it.")
    lines = [line.strip() for line in file.read_text(encoding="utf-8-sig", errors="replace").splitlines()]
    for number, line in enumerate(lines, 1):
        if line and not line.startswith("#") and not is_url(line):
            raise ValueError(f"source {file.name} is no list of URLs: line {number} is none; correct or remove it.")
    urls = [ListedUrl(check_url(line).geturl()) for line in lines if line and not line.startswith("#")]
    for url in urls:
        url.file = str(file)
    return urls


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet: not private, loopback, link-local, metadata, ..."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if inner := ip.ipv4_mapped or (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None):
            return is_public(str(inner))
        if ip not in _UNICAST or ip.sixtofour or ip.teredo:  # the last two lead to whatever IPv4 address they hold
            return False
    if any(ip in network for network in _METADATA if network.version == ip.version):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def resolve(host: str, port: int) -> list[str]:
    """Return a host's IP addresses, as the operating system knows them: it also reads 2130706433 and 0177.0.0.1."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in answers))


def fetch(url: str, may_connect: Callable[[str], bool] = is_public, look_up: Resolve = resolve) -> tuple[bytes, str]:
    """Return a picture's file and its suffix, by what it is. may_connect: whether an IP address may be connected to.

    Raises ValueError with the reason when there is no such picture, or the rules forbid it.
    """
    deadline = time.monotonic() + MAX_SECONDS
    for _ in range(MAX_REDIRECTS + 1):
        parts = check_url(url)
        with _answer(parts, _addresses(parts, may_connect, look_up), deadline) as answer:
            if answer.status not in _REDIRECTS:
                content = _content(answer, deadline)
                return content, _suffix(content)
            url = urljoin(url, answer.headers.get("Location", ""))
    raise ValueError(f"it was redirected more than {MAX_REDIRECTS} times")


def _addresses(parts: SplitResult, may_connect: Callable[[str], bool], look_up: Resolve) -> list[str]:
    host = parts.hostname or ""
    try:
        addresses = look_up(host, _port(parts))
    except (OSError, UnicodeError) as error:
        raise ValueError(f"the host {host} was not found: {error}") from None
    refused = [address for address in addresses if not may_connect(address)]
    if refused or not addresses:
        raise ValueError(f"the host {host} has the address {', '.join(refused) or '(none)'}, which is not public")
    return addresses


@contextmanager
def _answer(parts: SplitResult, addresses: list[str], deadline: float) -> Iterator[http.client.HTTPResponse]:
    connection = _Connection(parts, addresses, deadline)
    try:
        path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~") + (f"?{_ascii(parts.query)}" if parts.query else "")
        connection.request("GET", path, headers=_HEADERS)
        yield connection.getresponse()
    except TimeoutError:
        raise ValueError(f"it took longer than {MAX_SECONDS:g} seconds") from None
    except (OSError, http.client.HTTPException) as error:
        if time.monotonic() >= deadline:
            raise ValueError(f"it took longer than {MAX_SECONDS:g} seconds") from None
        raise ValueError(f"the server did not answer as it should: {error or type(error).__name__}") from None
    finally:
        connection.end()


class _Connection(http.client.HTTPConnection):
    """Connects to addresses that were looked at, not to a name. At the deadline the line is cut, whatever goes on."""

    def __init__(self, parts: SplitResult, addresses: list[str], deadline: float) -> None:
        super().__init__(parts.hostname or "", _port(parts))
        self.default_port = 443 if parts.scheme == "https" else 80
        self._secure = parts.scheme == "https"
        self._addresses = addresses
        self._deadline = deadline
        self._watch: threading.Timer | None = None

    def connect(self) -> None:
        self.sock = self._line = self._first_that_answers()
        self._watch = threading.Timer(max(0.0, self._deadline - time.monotonic()), self._cut)
        self._watch.daemon = True
        self._watch.start()
        if self._secure:
            context = ssl.create_default_context()
            secure = context.wrap_socket(self._line, server_hostname=self.host, do_handshake_on_connect=False)
            self.sock = self._line = secure
            secure.do_handshake()

    def end(self) -> None:
        """Close it for good; `close` is called early by http.client, with an answer that is still to be read."""
        if self._watch:
            self._watch.cancel()
        self.close()

    def _cut(self) -> None:
        with suppress(OSError):  # it is closed already
            socket.socket.shutdown(self._line, socket.SHUT_RDWR)  # not SSLSocket's own, which confuses its reader

    def _first_that_answers(self) -> socket.socket:
        refusal = OSError("no address")
        for address in self._addresses:
            try:
                return socket.create_connection((address, self.port), max(0.01, self._deadline - time.monotonic()))
            except OSError as error:
                refusal = error
        raise refusal


def _content(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    if answer.status != 200:
        raise ValueError(f"the server answered {answer.status} {answer.reason}")
    content = bytearray()
    while max(len(content), answer.length or 0) <= MAX_BYTES and (chunk := answer.read(_CHUNK)):
        content += chunk
    if max(len(content), answer.length or 0) > MAX_BYTES:
        raise ValueError(f"it is larger than the {MAX_BYTES:,} bytes allowed")
    if time.monotonic() >= deadline:  # a line that was cut reads like one that ended
        raise TimeoutError
    if answer.length:
        raise ValueError(f"the server closed the line {answer.length:,} bytes early")
    return bytes(content)


def _suffix(content: bytes) -> str:
    suffix = ending_of(io.BytesIO(content))
    if suffix not in _TAKEN:
        raise ValueError("what the server sent is no picture that can be read")
    return suffix


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _ascii(query: str) -> str:
    return quote(query, safe="/%:@!$&'()*+,;=~?-._[]|")
