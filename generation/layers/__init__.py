"""Changes to the models' layers for one run."""
