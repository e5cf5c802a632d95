"""On a Python's path, keeps its program on this machine: Python imports a module of this name at its start."""

import sys
from ipaddress import ip_address
from typing import Any


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if not is_here(host):
        sys.stderr.write(f"refused: {event} of {host}\n")
        raise OSError(f"{host} is not this machine.")


def is_here(host: str | bytes | None) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    try:
        return name in (None, "", "localhost") or ip_address(name or "").is_loopback
    except ValueError:
        return False


sys.addaudithook(refuse)
