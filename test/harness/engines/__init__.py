"""How each engine is started. One module per row of `ci/catalog/engines.toml`."""
