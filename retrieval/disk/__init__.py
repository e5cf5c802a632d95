"""Files that outlive a power cut, and what goes wrong with disks in one sentence."""
