"""`style-rag`: the same knowledge bases without ComfyUI."""
