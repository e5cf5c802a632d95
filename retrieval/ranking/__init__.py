"""From cosines and words to scores and one order."""
