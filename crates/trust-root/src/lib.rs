//! trusted_root.json and signing_config.json: load, select, export.
