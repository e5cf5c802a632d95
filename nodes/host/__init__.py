"""What the pack takes from ComfyUI: folders, memory, downloads, threads."""
