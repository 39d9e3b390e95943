"""The kit for testing what sends and receives mail with mether: see docs/testing.md."""
