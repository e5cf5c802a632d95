"""Runs a bundled workflow with comfy-api-simplified: pip install comfy-api-simplified

python docs/with_comfy_api_simplified.py workflows/api/quickstart.json OUT.png http://127.0.0.1:8188 ["PROMPT"]
"""

import sys
from pathlib import Path

from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper

workflow, out, server, *prompt = sys.argv[1:]
comfy, api = ComfyApiWrapper(server), ComfyWorkflowWrapper(workflow)
if prompt:
    api.set_node_param("Prompt", "value", prompt[0])  # or a sketch: ("Sketch", "image", a name in ComfyUI's input)
saved = next(node["_meta"]["title"] for node in api.values() if node["class_type"] == "SaveImage")
[picture] = comfy.queue_and_wait_images(api, saved).values()
Path(out).write_bytes(picture)
