"""Integer networks: execution, files, size, and export as programs of torch."""
