"""Posts a sketch and a prompt to a running ComfyUI and saves the picture. Needs only Python's standard library.

python docs/sketch_to_picture.py SKETCH "PROMPT" OUT.png http://127.0.0.1:8188
"""

import json
import sys
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

sketch, prompt, out, server = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4]
workflow = json.loads((Path(__file__).parents[1] / "workflows/api/quickstart.json").read_text(encoding="utf-8"))


def send(path: str, body: bytes | None = None, kind: str = "application/json") -> bytes:
    try:
        return urlopen(Request(server + path, body, {"Content-Type": kind})).read()
    except HTTPError as error:
        sys.exit(f"ComfyUI refused {path}: {error.read().decode()}")


form = b'--line\r\nContent-Disposition: form-data; name="image"; filename="%s"\r\n\r\n%s\r\n--line--\r\n'
form %= (sketch.name.encode(), sketch.read_bytes())
uploaded = json.loads(send("/upload/image", form, "multipart/form-data; boundary=line"))["name"]
for node in workflow.values():
    if node["class_type"] == "LoadImage":
        node["inputs"]["image"] = uploaded
    elif node["class_type"] == "PrimitiveStringMultiline":
        node["inputs"]["value"] = prompt
# The sampler adds to extra_pnginfo what the PNG will tell. Without a client no picture is named that was made before.
body = {"prompt": workflow, "client_id": "sketch_to_picture", "extra_data": {"extra_pnginfo": {}}}
prompt_id = json.loads(send("/prompt", json.dumps(body).encode()))["prompt_id"]
while not (history := json.loads(send(f"/history/{prompt_id}"))):
    time.sleep(0.2)
result = history[prompt_id]
if result["status"]["status_str"] != "success":
    sys.exit(result["status"]["messages"][-1][1].get("exception_message", "The workflow was interrupted."))
saved = [image for node in result["outputs"].values() for image in node.get("images", []) if image["type"] == "output"]
out.write_bytes(send("/view?" + urlencode(saved[0])))
