"""One vector engine a file, each behind `StyleIndex`, each the only user of its package."""
