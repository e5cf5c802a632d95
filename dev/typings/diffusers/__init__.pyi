# For the type checker alone. The library's own types are read from thousands of files (a minute) and reject correct
# calls; everything in it counts as Any instead.
from typing import Any

def __getattr__(name: str) -> Any: ...
