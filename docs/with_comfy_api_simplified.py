"""Runs a bundled workflow with comfy-api-simplified: pip install comfy-api-simplified

python docs/with_comfy_api_simplified.py workflows/api/quickstart.json OUT.png http://127.0.0.1:8188 ["PROMPT"]
"""

import asyncio
import sys
from pathlib import Path

from comfy_api_simplified import ComfyApiWrapper, ComfyWorkflowWrapper

workflow, out, server, *prompt = sys.argv[1:]
comfy, api = ComfyApiWrapper(server), ComfyWorkflowWrapper(workflow)
if prompt:
    api.set_node_param("Prompt", "value", prompt[0])  # or a sketch: ("Sketch", "image", a name in ComfyUI's input)
prompt_id, _ = asyncio.run(comfy.queue_prompt_and_wait(api))  # and the previews that ComfyUI has sent meanwhile
saver = next(id for id, node in api.items() if node["class_type"] == "SaveImage")
[saved] = comfy.get_history(prompt_id)[prompt_id]["outputs"][saver]["images"]
Path(out).write_bytes(comfy.get_image(saved["filename"], saved["subfolder"], saved["type"]))
