"""mether: an SMTP service of small programs over one library."""

__version__ = "0.1.0"
