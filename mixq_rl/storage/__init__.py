"""Storage: artifacts of safetensors and JSON, atomic writes, content hashes."""
