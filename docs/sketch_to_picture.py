"""Posts a sketch and a prompt to a running ComfyUI and saves the picture. Needs Python's standard library alone.

python docs/sketch_to_picture.py SKETCH "PROMPT" OUT.png --server http://127.0.0.1:8188
"""

import argparse
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

parser = argparse.ArgumentParser(description="Turn a sketch and a prompt into a picture.")
parser.add_argument("sketch", type=Path)
parser.add_argument("prompt")
parser.add_argument("out", type=Path)
parser.add_argument("--server", default="http://127.0.0.1:8188")
parser.add_argument("--workflow", type=Path, default=Path(__file__).parents[1] / "workflows/api/quickstart.json")
args = parser.parse_args()


def send(path: str, data: bytes | None = None, content_type: str = "application/json") -> bytes:
    try:
        return urllib.request.urlopen(
            urllib.request.Request(args.server + path, data, {"Content-Type": content_type})
        ).read()
    except urllib.error.HTTPError as error:
        sys.exit(f"ComfyUI refused {path}: {error.read().decode()}")


# 1. Upload the sketch, as the form of a web page would.
form = b'--line\r\nContent-Disposition: form-data; name="image"; filename="%s"\r\n\r\n%s\r\n--line--\r\n'
form %= (args.sketch.name.encode(), args.sketch.read_bytes())
sketch = json.loads(send("/upload/image", form, "multipart/form-data; boundary=line"))["name"]

# 2. Put the sketch and the prompt into the workflow, and queue it.
workflow = json.loads(args.workflow.read_text(encoding="utf-8"))
for node in workflow.values():
    if node["class_type"] == "LoadImage":
        node["inputs"]["image"] = sketch
    elif node["class_type"].startswith("PrimitiveString"):
        node["inputs"]["value"] = args.prompt
    elif isinstance(node["inputs"].get("prompt"), str):  # a list is a link to another node
        node["inputs"]["prompt"] = args.prompt
prompt_id = json.loads(send("/prompt", json.dumps({"prompt": workflow}).encode()))["prompt_id"]

# 3. Wait for the result, print what the nodes say, and save the pictures.
while not (history := json.loads(send(f"/history/{prompt_id}"))):
    time.sleep(0.2)
result = history[prompt_id]
if result["status"]["status_str"] != "success":
    sys.exit(result["status"]["messages"][-1][1].get("exception_message", "The workflow was interrupted."))
outputs = result["outputs"].values()
for text in [text for output in outputs for text in output.get("text", [])]:
    print(text)
images = [image for output in outputs for image in output.get("images", []) if image["type"] == "output"]
for number, image in enumerate(images):
    path = args.out.with_stem(f"{args.out.stem}-{number + 1}") if number else args.out
    path.write_bytes(send("/view?" + urllib.parse.urlencode(image)))
    print(path)
