"""Draws the pack's starter pictures and trains its miniature models on them.

Knows nothing of ComfyUI and is not needed to use the pack.
"""
