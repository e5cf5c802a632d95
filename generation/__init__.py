"""Sketch and references to picture: Stable Diffusion 1.5 with ControlNet and IP-Adapter on diffusers.

Knows pictures and settings; knows neither ComfyUI nor where references come from.
"""
