"""Files that fit together to a ready pipeline."""
