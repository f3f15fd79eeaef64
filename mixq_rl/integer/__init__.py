"""Integer networks: execution, files, size, and programs of ``torch.export``."""
