"""What a plugin must be, and how it is found: records, hooks and the registry."""
