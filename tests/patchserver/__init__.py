"""Tests of the server; `patchserver` says what its folders hold."""
