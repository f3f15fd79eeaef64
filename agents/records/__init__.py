"""Records of a run: configuration, folder, checkpoints, result."""
