"""Tests of the client; `updater` says what its folders hold."""
