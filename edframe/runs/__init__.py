"""One run from its configuration to its report: build, execute, evaluate, and the directory it leaves."""
