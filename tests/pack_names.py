"""Under which folder names the tests give the pack to ComfyUI."""

PACK_FOLDER = "1-style rag (test)"
"""Under which name the pack lies in custom_nodes: with a digit first, a hyphen, spaces and brackets."""

SERVED_FOLDER = "1-style-rag(test)"
"""The same for the server, without spaces: aiohttp finds no static file below such a folder, whatever the pack."""
