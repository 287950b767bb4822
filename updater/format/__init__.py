"""Values and bytes of every document we publish; pure: no files, no network, no clock."""
