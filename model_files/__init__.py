"""What a weights file is, and how it is opened and checked."""
