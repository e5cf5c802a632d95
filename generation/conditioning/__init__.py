"""Prompts and references to the tokens that UNet and ControlNet attend to."""
